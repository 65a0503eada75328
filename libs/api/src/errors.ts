import type { Problem } from './problems.ts';

/** The service answered with a problem. */
export class ApiError extends Error {
  readonly status: number;
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(`${problem.title}: ${problem.detail}`);
    this.name = 'ApiError';
    this.status = problem.status;
    this.problem = problem;
  }
}

/**
 * Nobody answers (silent), one that takes connections says nothing (mute), or the connection broke before the end of the answer: of the last
 * two nobody knows what has become of the request.
 */
export class UnreachableError extends Error {
  readonly why: 'silent' | 'mute' | 'broke off';

  constructor(url: string, why: UnreachableError['why'], cause: unknown) {
    const words = {
      silent: `No Bullpen answers at ${url}: start one with npm start, or set BULLPEN_URL`,
      mute: `The service at ${url} did not answer in time: is that the right BULLPEN_URL? If so, look at its log, and at what stands between`,
      'broke off': `The connection to the Bullpen at ${url} broke off before the end of its answer`,
    };
    super(words[why], { cause });
    this.name = 'UnreachableError';
    this.why = why;
  }
}
