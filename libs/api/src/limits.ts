import { z } from 'zod';
import { whole } from './whole.ts';

/** So many slots in `perMs`, at even distances. */
const rate = { limit: whole(1, 1_000_000), perMs: whole(1, 86_400_000).default(1000) };
const shape = { error: 'must be an object: {"limit": 50, "perMs": 1000}' };

/** Of a handler, or of each group. */
export const rateLimitSchema = z.strictObject(rate, shape);
/** Of a batch; each of its items takes `cost` slots, of its own limit and of its handler's. */
export const batchRateLimitSchema = z.strictObject({ ...rate, cost: whole(1, 1000).default(1) }, shape);
/** Of a batch that has one: what an item costs stays as it is where that is left out. */
export const batchRateChangeSchema = batchRateLimitSchema.extend({ cost: whole(1, 1000).optional() });

/** Items in handlers at once over all workers. */
export const concurrencySchema = whole(1, 100_000);

/** The body of `PUT /v1/handlers/{name}/limits`, and what it answers. What is left out or null is not limited. */
export const handlerLimitsSchema = z.strictObject(
  { rateLimit: rateLimitSchema.nullable().default(null), concurrency: concurrencySchema.nullable().default(null) },
  { error: 'must be an object' },
);
export type HandlerLimits = z.infer<typeof handlerLimitsSchema>;
export type HandlerLimitsBody = z.input<typeof handlerLimitsSchema>;
