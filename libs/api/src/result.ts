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

/** The same as a stream: the whole set, so that neither limit nor cursor mean anything. */
export const resultStreamQuerySchema = z.strictObject({ status: z.enum(listedStatuses).optional() });
