import { z } from 'zod';
import { limitSchema } from './page.ts';
import { resultSchema } from './result.ts';

/** The failed items of one cause: those whose errors differ only in numbers, ids, quoted words and paths. */
export const failureSchema = z.object({
  fingerprint: z.string(),
  /** Of the first one. */
  code: z.string(),
  message: z.string(),
  count: z.number().int(),
  firstIndex: z.number().int(),
  lastIndex: z.number().int(),
  /** The result of the first one, whose index is `firstIndex`. */
  sample: resultSchema,
});

export type Failure = z.infer<typeof failureSchema>;

/** The most frequent causes first; `causes` counts also those that `limit` left out. */
export const failuresSchema = z.object({ items: z.array(failureSchema), causes: z.number().int() });
export type Failures = z.infer<typeof failuresSchema>;

/** The body of `POST /v1/batches/{id}/retry`; without one all failed items run again. */
export const retrySchema = z.strictObject({
  /** As in `failures`: only the items of this cause. */
  fingerprint: z
    .string({ error: 'must be a fingerprint' })
    .regex(/^[0-9a-f]{12}$/, { error: 'is no fingerprint: GET /v1/batches/{id}/failures tells them' })
    .optional(),
});
export type Retry = z.infer<typeof retrySchema>;

/** The query of `GET /v1/batches/{id}/failures`. */
export const failuresQuerySchema = z.strictObject({ limit: limitSchema(100) });
