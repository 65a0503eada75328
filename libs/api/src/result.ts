import { z } from 'zod';
import { cursorSchema, limitSchema, pageOf } from './page.ts';

export const resultStatuses = ['succeeded', 'failed', 'cancelled'] as const;

export const resultSchema = z.object({
  index: z.number().int(),
  status: z.enum(resultStatuses),
  attempts: z.number().int(),
  /** What the handler returned; null where it returned nothing. */
  output: z.unknown(),
  error: z
    .object({
      code: z.string(),
      message: z.string(),
      /** The same for all errors that differ only in numbers, ids, quoted words and paths. */
      fingerprint: z.string(),
    })
    .nullable(),
  finishedAt: z.iso.datetime().nullable(),
});

export type Result = z.infer<typeof resultSchema>;

export const resultPageSchema = pageOf(resultSchema);
export type ResultPage = z.infer<typeof resultPageSchema>;

/** Cancelled items have no rows, so there is nothing to list of them. */
export const listedStatuses = ['succeeded', 'failed'] as const;

/** The query of `GET /v1/batches/{id}/results`. */
export const resultsQuerySchema = z.strictObject({
  status: z.enum(listedStatuses).optional(),
  limit: limitSchema(100),
  cursor: cursorSchema,
});

const flag = z
  .enum(['true', 'false'])
  .transform((value) => value === 'true')
  .default(false);

/** Each with its input, or nothing but the inputs, so that they can be submitted again. */
const withInputs = z.enum(['true', 'false', 'only']).default('false');

/** PostgreSQL numbers items by int8, JSON and its readers up to here. */
export const indexMax = Number.MAX_SAFE_INTEGER;

/** Which results a stream brings. It has no limit: it is the whole set, or what comes after a place in it. */
const streamed = {
  status: z.enum(listedStatuses).optional(),
  /** The `nextCursor` of a page with the same status. */
  cursor: cursorSchema,
  /** Only results with a greater index. */
  after: z
    .string()
    .regex(/^(0|[1-9][0-9]{0,15})$/, { error: 'must be the index of an item' })
    .transform(Number)
    .refine((index) => index <= indexMax, { error: `must be at most ${indexMax}` })
    .optional(),
};

const onePlace = ({ cursor, after }: { cursor?: string | undefined; after?: number | undefined }): boolean =>
  cursor === undefined || after === undefined;
const twoPlaces = { path: ['after'], error: 'cannot be given together with cursor' };

/** The query of the results as NDJSON. */
export const resultLinesQuerySchema = z.strictObject({ ...streamed, inputs: withInputs }).refine(onePlace, twoPlaces);

/** The query of the results as CSV. */
export const resultCsvQuerySchema = z
  .strictObject({
    ...streamed,
    inputs: withInputs,
    /** Cells that a spreadsheet would take for a formula are made text by a leading apostrophe. */
    escapeFormulas: flag,
  })
  .refine(onePlace, twoPlaces);

/** The header of a stream that says whether results may still be to come: `true` or `false`. */
export const completeHeader = 'Bullpen-Complete';

/** The header of a stream of inputs that says whether the items were given by their count, and so have none: `true` or `false`. */
export const countedHeader = 'Bullpen-Counted';
