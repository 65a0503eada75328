import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';

type Seen = string[];

/** An error that has its input wherever an error can have it. */
class Leak extends Error {
  readonly code: string;
  readonly input: string;
  constructor(secret: string) {
    super(`cannot do\n    at ${secret}`, { cause: new Error(secret) });
    this.name = secret;
    this.code = secret;
    this.input = secret;
  }
}
const leak = (secret: string): never => {
  throw new Leak(secret);
};

const rejectSoon = (secret: string): void => void setTimeout(() => void Promise.reject(new Leak(secret)), 1);

const does = {
  answer: (secret: string) => ({ secret }),
  throw: leak,
  /** Nobody listens: it has answered by then, or never does. */
  rejectLater: (secret: string) => (rejectSoon(secret), { secret }),
  rejectInstead: (secret: string) => new Promise<{ secret: string }>(() => rejectSoon(secret)),
};

/** Puts its input and its params into all that it can. */
export default defineHandler({
  name: 'leaky',
  description: 'Tells secrets to everybody',
  input: z.object({
    // What a schema throws by itself is no fault of the input.
    secret: z.string().refine((secret) => !secret.includes('refine') || leak(secret)),
    does: z.enum(['answer', 'throw', 'rejectLater', 'rejectInstead']),
  }),
  params: z.object({ secret: z.string(), breaks: z.enum(['nothing', 'zero', 'merge', 'summary']) }).partial(),
  start: ({ log, params }) => {
    // What a handler logs is its own affair, but for keys and passwords, and what a server puts into its errors.
    if (params.secret === undefined) return;
    const headers = { authorization: params.secret };
    const err = Object.assign(new Error('it is there'), { detail: params.secret, parameters: [params.secret] });
    log.warn({ headers, key: `bp_test_${params.secret}`, err }, `called http://me:${params.secret}@example.com`);
  },
  run: (input) => does[input.does](input.secret),
  reduce: {
    zero: ({ breaks, secret = '' }): Seen => (breaks === 'zero' ? leak(secret) : []),
    add: (seen, output: { secret: string }) => [...seen, output.secret],
    merge: (a, b) => (a.some((secret) => secret.includes('merge')) ? leak(a.join()) : [...a, ...b]),
    summary: (seen, { breaks }) => (breaks === 'summary' ? leak(seen.join()) : seen.length),
  },
});
