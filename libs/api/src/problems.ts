import { z } from 'zod';

/**
 * Every error that the API answers, as `application/problem+json` (RFC 9457). `type` is `/problems/<slug>`.
 *
 * 400 cannot be read · 413 too large, too many · 409 state · 415 type, charset, encoding · 422 readable but not allowed · 503 and
 * 507 come back later: they carry Retry-After, and so does 429.
 */
export const problemTable = {
  malformed: { status: 400, title: 'The request cannot be read' },
  unauthorized: { status: 401, title: 'This request is not allowed without a key' },
  forbidden: { status: 403, title: 'The key does not allow this' },
  'not-found': { status: 404, title: 'There is nothing here' },
  'method-not-allowed': { status: 405, title: 'This method is not allowed here' },
  'not-acceptable': { status: 406, title: 'This cannot be answered in that form' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive' },
  'invalid-state': { status: 409, title: 'It is in no state for this' },
  'in-progress': { status: 409, title: 'The same request is being read' },
  'too-large': { status: 413, title: 'The request is too large' },
  'unsupported-media-type': { status: 415, title: 'A body of this type is not taken' },
  'unknown-host': { status: 421, title: 'The service has another name' },
  invalid: { status: 422, title: 'The request is not valid' },
  'unknown-handler': { status: 422, title: 'There is no such handler' },
  'key-reused': { status: 422, title: 'The key was used before' },
  'rate-limited': { status: 429, title: 'This key asks too often' },
  'backlog-full': { status: 429, title: 'Too much waits already' },
  'header-too-large': { status: 431, title: 'The URL or the headers are too large' },
  internal: { status: 500, title: 'Something broke here' },
  unavailable: { status: 503, title: 'The service cannot answer at the moment' },
  busy: { status: 503, title: 'The service has too much in hand' },
  'no-room': { status: 503, title: 'There is no room for more' },
  'not-ready': { status: 503, title: 'The service is not ready' },
  'disk-full': { status: 507, title: 'The disk is full' },
} as const;

export type ProblemSlug = keyof typeof problemTable;

/** Faults of one answer at most: the first ones say enough. */
export const problemErrorsMax = 100;

/** Where a fault is: `pointer` is a JSON pointer into the body, or `?name` for a query parameter; `line` counts from 1. */
export const problemErrorSchema = z.object({
  pointer: z.string().optional(),
  line: z.number().int().optional(),
  message: z.string(),
});

export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  detail: z.string(),
  instance: z.string(),
  errors: z.array(problemErrorSchema).max(problemErrorsMax).optional(),
});

export type Problem = z.infer<typeof problemSchema>;
export type ProblemError = z.infer<typeof problemErrorSchema>;

/** The answer itself. `instance` is the path that was asked for. */
export function problemOf(
  slug: ProblemSlug,
  said: { detail: string; instance: string; errors?: readonly ProblemError[] | undefined },
): Problem {
  const { status, title } = problemTable[slug];
  const errors = said.errors?.slice(0, problemErrorsMax);
  return {
    type: `/problems/${slug}`,
    title,
    status,
    detail: said.detail,
    instance: said.instance,
    ...(errors !== undefined && errors.length > 0 && { errors }),
  };
}
