import { z } from 'zod';
import { effectiveOptionsSchema, optionsSchema } from './options.ts';
import { cursorSchema, limitSchema, pageOf } from './page.ts';

export const batchStates = ['running', 'paused', 'completed', 'cancelled'] as const;
export const batchKinds = ['batch', 'jobs'] as const;

/** PostgreSQL's text takes neither NUL nor half a surrogate pair. */
const plainText = /^[^\0\p{Surrogate}]*$/u;

/** The body of `POST /v1/batches`. How many items are too many is a setting, so it is not said here. */
export const newBatchSchema = z
  .strictObject({
    handler: z.string(),
    name: z.string().min(1).max(200).regex(plainText, { error: 'must not hold NUL or lone surrogates' }).optional(),
    /** That many items without an input of their own. */
    count: z.number().int({ error: 'must be a whole number' }).min(1, { error: 'must be at least 1' }).optional(),
    /** The input of each item. */
    inputs: z.array(z.unknown()).min(1, { error: 'must hold at least one input' }).optional(),
    /** What all items share. */
    params: z.unknown().optional(),
    options: optionsSchema.optional(),
  })
  .refine(({ count, inputs }) => (count === undefined) !== (inputs === undefined), {
    error: 'give either count or inputs',
  });

export type NewBatchBody = z.infer<typeof newBatchSchema>;

export const batchSchema = z.object({
  id: z.uuid(),
  kind: z.enum(batchKinds),
  name: z.string().nullable(),
  handler: z.string(),
  state: z.enum(batchStates),
  stateReason: z.enum(['user', 'max-failures', 'canary']).nullable(),
  /** False while an open batch takes more items. */
  sealed: z.boolean(),
  /** They sum to `total` at every read. */
  counts: z.object({
    total: z.number().int(),
    pending: z.number().int(),
    running: z.number().int(),
    succeeded: z.number().int(),
    failed: z.number().int(),
    cancelled: z.number().int(),
  }),
  params: z.unknown(),
  options: effectiveOptionsSchema,
  createdAt: z.iso.datetime(),
  /** When its first chunk was published. */
  startedAt: z.iso.datetime().nullable(),
  finishedAt: z.iso.datetime().nullable(),
  /** Over the whole run; null before it started. */
  itemsPerSecond: z.number().nullable(),
  /** Only while it runs. */
  etaSeconds: z.number().nullable(),
  /**
   * What the handler's `reduce` made of the outputs so far; null where there is no such handler or nothing was reduced, and
   * in lists, where it would be read for each batch.
   */
  summary: z.unknown(),
  /** Why `reduce` could make no summary of what is there; null where it could, and where there is nothing yet. */
  summaryError: z.string().nullable(),
});

export type Batch = z.infer<typeof batchSchema>;

export const batchPageSchema = pageOf(batchSchema);
export type BatchPage = z.infer<typeof batchPageSchema>;

/** The query of `GET /v1/batches`. */
export const batchesQuerySchema = z.strictObject({
  state: z.enum(batchStates).optional(),
  handler: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,62}$/, { error: 'is no name of a handler' })
    .optional(),
  kind: z.enum(batchKinds).default('batch'),
  limit: limitSchema(50),
  cursor: cursorSchema,
});

/** How long `GET /v1/batches/{id}` waits for the end. */
export const waitSecondsMax = 60;

/** The query of `GET /v1/batches/{id}`. */
export const batchQuerySchema = z.strictObject({
  wait: z
    .string()
    .regex(/^([0-9]|[1-5][0-9]|60)$/, { error: `must be a whole number of seconds from 0 to ${waitSecondsMax}` })
    .transform(Number)
    .default(0),
});
