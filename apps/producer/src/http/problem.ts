import { type ProblemError, type ProblemSlug, problemTable } from '@bullpen/api';

/** Thrown by a route to answer a problem: expected trouble, from the one table. */
export class HttpProblem extends Error {
  readonly slug: ProblemSlug;
  readonly errors: readonly ProblemError[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    slug: ProblemSlug,
    detail: string,
    more: { errors?: readonly ProblemError[]; headers?: Record<string, string> } = {},
  ) {
    super(detail);
    this.name = 'HttpProblem';
    this.slug = slug;
    this.errors = more.errors;
    this.headers = more.headers ?? {};
  }

  get status(): number {
    return problemTable[this.slug].status;
  }
}

/**
 * The database went away while it stored a batch, so that nobody knows whether the batch is there. The connection is cut
 * instead of answered: what was answered with an error must never run.
 */
export class NoAnswer extends Error {
  readonly batchId: string;
  constructor(batchId: string, options: { cause: unknown }) {
    super('not confirmed', options);
    this.batchId = batchId;
  }
}
