import { z } from 'zod';
import { batchRateChangeSchema, batchRateLimitSchema, concurrencySchema, rateLimitSchema } from './limits.ts';
import { newWebhookSchema } from './webhook.ts';
import { whole } from './whole.ts';

/** What is used where a batch does not say. */
export const optionDefaults = { maxAttempts: 3, backoffMs: 1000, timeoutMs: 300_000, priority: 0, weight: 1 } as const;

export const seedMax = 2 ** 32 - 1;

/** PostgreSQL's text takes neither NUL nor half a surrogate pair. */
export const plainText = /^[^\0\p{Surrogate}]*$/u;

/** Which goes first: 0 before 9. An offset in the fair order, so that nothing starves. */
const prioritySchema = whole(0, 9);
/** The share of a batch beside others. */
const weightSchema = whole(1, 100);

/** It pauses when so many items have failed. */
const maxFailuresSchema = whole(1, 1_000_000_000);
/** It pauses when more than this part of what is final has failed, from the hundredth item on. */
const maxFailureRateSchema = z
  .number({ error: 'must be a number from 0 to 1' })
  .min(0, { error: 'must be at least 0' })
  .max(1, { error: 'must be at most 1' });
const yearMs = 366 * 86_400_000;
const notBeforeSchema = z.iso
  .datetime({ offset: true, error: 'must be a time as 2026-01-31T18:00:00Z' })
  .refine((text) => !(Date.parse(text) - Date.now() > yearMs), { error: 'must be within a year' })
  .transform((text) => new Date(text).toISOString());

/** Options of a batch. */
export const optionsSchema = z.strictObject({
  /** Items of a chunk; the default uses all workers also for a small batch. */
  chunkSize: whole(1, 10_000).optional(),
  /** How often an item is tried. */
  maxAttempts: whole(1, 25).optional(),
  /** The wait before the second attempt, in ms; it doubles, with jitter, up to an hour. */
  backoffMs: whole(0, 3_600_000).optional(),
  /** How long one attempt of an item may take, in ms, at most a day; it then counts as failed with the code `timeout`. */
  timeoutMs: whole(1, 86_400_000).optional(),
  /** With the same seed handlers draw the same random numbers. A random one is chosen and stored where none is given. */
  seed: whole(0, seedMax).optional(),
  /** The batch takes more items until it is closed. */
  open: z.boolean({ error: 'must be true or false' }).optional(),
  /** Of NDJSON and CSV: a line that cannot be taken refuses all, or is recorded as an item that has failed. */
  onInvalid: z.enum(['refuse', 'skip'], { error: 'must be refuse or skip' }).optional(),
  priority: prioritySchema.optional(),
  weight: weightSchema.optional(),
  /** Where the group key of an item stands in its input: a field, or a JSON pointer where it begins with a slash. */
  groupBy: z
    .string({ error: 'must be a field or a JSON pointer' })
    .min(1, { error: 'must be a field or a JSON pointer' })
    .max(200, { error: 'must have at most 200 characters' })
    .regex(plainText, { error: 'must not hold NUL or lone surrogates' })
    .refine((text) => !text.startsWith('/') || !/~(?![01])/.test(text), {
      error: 'is no JSON pointer: in one ~ is written ~0, and / within a name ~1',
    })
    .optional(),
  /** Items of one group run strictly one after another, in the order in which they were submitted. */
  ordered: z.boolean({ error: 'must be true or false' }).optional(),
  /** Items of one group that may run at once. */
  groupConcurrency: whole(1, 10_000).optional(),
  /** How fast the items of one group may start. */
  groupRateLimit: rateLimitSchema.optional(),
  /** How fast items may start, over all workers. */
  rateLimit: batchRateLimitSchema.optional(),
  /** Items in handlers at once, over all workers. */
  concurrency: concurrencySchema.optional(),
  maxFailures: maxFailuresSchema.optional(),
  maxFailureRate: maxFailureRateSchema.optional(),
  /** It pauses when its first so many items are final; to resume it releases the others. */
  canary: whole(1, 1_000_000_000).optional(),
  /** Nothing of it starts before. */
  notBefore: notBeforeSchema.optional(),
  /** `failed`: what items return is summed up and then dropped; only errors are kept. */
  keepResults: z.enum(['all', 'failed'], { error: 'must be all or failed' }).optional(),
  /** The handler's `dryRun` runs instead: it answers what would be done, and does nothing outside. No limit holds it up. */
  dryRun: z.boolean({ error: 'must be true or false' }).optional(),
  /** Is told when the batch is completed. */
  webhook: newWebhookSchema.optional(),
});

/** Options that are objects: in the query of a stream there is no place for them. */
export const objectOptions: ReadonlySet<string> = new Set(['rateLimit', 'groupRateLimit', 'webhook']);

/** Options that may be changed while a batch runs; null takes one away. */
export const changeableSchema = z.strictObject({
  rateLimit: batchRateChangeSchema.nullable().optional(),
  concurrency: concurrencySchema.nullable().optional(),
  priority: prioritySchema.optional(),
  weight: weightSchema.optional(),
  maxFailures: maxFailuresSchema.nullable().optional(),
  maxFailureRate: maxFailureRateSchema.nullable().optional(),
});

/** What goes only with other options: the name of each that does not fit, and why. */
export function optionFaults(options: z.infer<typeof optionsSchema> & { count?: unknown }): [string, string][] {
  const { groupBy, ordered, groupConcurrency, groupRateLimit, canary, open, count } = options;
  const faults: [string, string][] = [];
  if (groupBy === undefined && ordered !== undefined)
    faults.push(['ordered', 'goes with groupBy, which says what is in order']);
  if (groupBy === undefined && groupConcurrency !== undefined)
    faults.push(['groupConcurrency', 'goes with groupBy, which says what a group is']);
  if (groupBy === undefined && groupRateLimit !== undefined)
    faults.push(['groupRateLimit', 'goes with groupBy, which says what a group is']);
  if (ordered && groupConcurrency !== undefined)
    faults.push(['groupConcurrency', 'goes without ordered: items in order run one at a time']);
  if (groupBy !== undefined && count !== undefined)
    faults.push(['groupBy', 'goes with inputs: items of a count have none to read a key from']);
  if (canary !== undefined && groupBy !== undefined)
    faults.push(['canary', 'goes without groupBy: items of a group run in their order']);
  if (canary !== undefined && open === true) faults.push(['canary', 'goes without open: more items come']);
  return faults;
}

export type Options = z.infer<typeof optionsSchema>;

/** The options that a batch runs with, as they are stored and shown. `chunkSize` only where it was given. */
export const effectiveOptionsSchema = z.object({
  chunkSize: z.number().int().optional(),
  maxAttempts: z.number().int(),
  backoffMs: z.number().int(),
  timeoutMs: z.number().int(),
  seed: z.number().int(),
  priority: z.number().int(),
  weight: z.number().int(),
  groupBy: z.string().optional(),
  /** Only with `groupBy`. */
  ordered: z.boolean().optional(),
  groupConcurrency: z.number().int().optional(),
  groupRateLimit: rateLimitSchema.optional(),
  rateLimit: batchRateLimitSchema.optional(),
  concurrency: z.number().int().optional(),
  maxFailures: z.number().int().optional(),
  maxFailureRate: z.number().optional(),
  canary: z.number().int().optional(),
  notBefore: z.iso.datetime().optional(),
  keepResults: z.enum(['all', 'failed']).optional(),
  /** The secret is shown to nobody. */
  webhook: z.object({ url: z.string() }).optional(),
  /** Only where it is one. */
  dryRun: z.literal(true).optional(),
  /** Of a batch that came as CSV: its header. */
  columns: z.array(z.string()).optional(),
});

export type EffectiveOptions = z.infer<typeof effectiveOptionsSchema>;
