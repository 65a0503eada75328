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
