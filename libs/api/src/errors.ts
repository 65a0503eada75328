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

/** Nobody answers, or the answer broke off. */
export class UnreachableError extends Error {
  constructor(url: string, why: 'silent' | 'broke off', cause: unknown) {
    const words = {
      silent: `No Bullpen answers at ${url}: start one with npm start, or set BULLPEN_URL`,
      'broke off': `The answer of the Bullpen at ${url} broke off before its end`,
    };
    super(words[why], { cause });
    this.name = 'UnreachableError';
  }
}
