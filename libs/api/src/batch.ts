import { z } from 'zod';
import { changeableSchema, effectiveOptionsSchema, optionFaults, optionsSchema, plainText } from './options.ts';
import { cursorSchema, limitSchema, pageOf } from './page.ts';
import { problemErrorSchema } from './problems.ts';
import { webhookSchema } from './webhook.ts';

export const batchStates = ['running', 'paused', 'completed', 'cancelled'] as const;
export const batchKinds = ['batch', 'jobs'] as const;

const nameSchema = z.string().min(1).max(200).regex(plainText, { error: 'must not hold NUL or lone surrogates' });

/** The body of `POST /v1/batches`. How many items are too many is a setting, so it is not said here. */
export const newBatchSchema = z
  .strictObject({
    handler: z.string(),
    name: nameSchema.optional(),
    /** That many items without an input of their own. */
    count: z.number().int({ error: 'must be a whole number' }).min(1, { error: 'must be at least 1' }).optional(),
    /** The input of each item. */
    inputs: z.array(z.unknown()).min(1, { error: 'must hold at least one input' }).optional(),
    /** What all items share. */
    params: z.unknown().optional(),
    options: optionsSchema.optional(),
  })
  .superRefine(({ count, inputs, options }, ctx) => {
    const refuse = (message: string, path: string[] = []): void => ctx.addIssue({ code: 'custom', message, path });
    if (count !== undefined && inputs !== undefined) refuse('give either count or inputs');
    if (count === undefined && inputs === undefined && options?.open !== true) refuse('give either count or inputs');
    if (count !== undefined && options?.open === true)
      refuse('goes without count: more items come', ['options', 'open']);
    if (options?.onInvalid === 'skip') refuse('goes with NDJSON and CSV', ['options', 'onInvalid']);
    for (const [name, message] of optionFaults({ ...options, count })) refuse(message, ['options', name]);
  });

/** What NDJSON and CSV say beside their lines, by the query and the header Bullpen-Options. */
export const newStreamSchema = z
  .strictObject({
    handler: z.string({ error: 'names the handler, and is missing' }),
    name: nameSchema.optional(),
    /** Nothing is stored; the answer says what is wrong. */
    validate: z.literal('only', { error: 'must be only' }).optional(),
    params: z.unknown().optional(),
    options: optionsSchema.optional(),
  })
  .superRefine(({ options }, ctx) => {
    for (const [name, message] of optionFaults({ ...options }))
      ctx.addIssue({ code: 'custom', message, path: ['options', name] });
  });

/** The body of `PATCH /v1/batches/{id}`: what is left out stays as it is. */
export const batchChangeSchema = z.strictObject({
  name: nameSchema.nullable().optional(),
  options: changeableSchema.optional(),
});
export type BatchChange = z.input<typeof batchChangeSchema>;

export type NewStream = z.infer<typeof newStreamSchema>;

/** The answer to `validate=only`: lines with an input, and the first hundred faults. */
export const validationSchema = z.object({ lines: z.number().int(), errors: z.array(problemErrorSchema) });
export type Validation = z.infer<typeof validationSchema>;

export type NewBatchBody = z.infer<typeof newBatchSchema>;

/** The answer to `POST /v1/batches/{id}/items`: the items have the indexes from `firstIndex` on. */
export const appendAnswerSchema = z.object({
  batchId: z.uuid(),
  firstIndex: z.number().int(),
  count: z.number().int(),
});
export type AppendAnswer = z.infer<typeof appendAnswerSchema>;

/** The answer to `POST /v1/jobs/{handler}` while there is no result. */
export const jobAnswerSchema = z.object({ batchId: z.uuid(), index: z.number().int() });
export type JobAnswer = z.infer<typeof jobAnswerSchema>;

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
  /** Whom the completion is told, and what has come of it; null: nobody. */
  webhook: webhookSchema.nullable(),
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

/** How long `GET /v1/batches/{id}` waits for the end, and `POST /v1/jobs/{handler}` for the result. */
export const waitSecondsMax = 60;

const waitSchema = z
  .string()
  .regex(/^([0-9]|[1-5][0-9]|60)$/, { error: `must be a whole number of seconds from 0 to ${waitSecondsMax}` })
  .transform(Number)
  .default(0);

/** The query of `GET /v1/batches/{id}`. */
export const batchQuerySchema = z.strictObject({ wait: waitSchema });

/** The query of `POST /v1/jobs/{handler}`. */
export const jobQuerySchema = z.strictObject({ wait: waitSchema });
