import { defineHandler, Retry } from '@bullpen/handlers';
import { z } from 'zod';

interface Sum {
  n: number;
  text?: string;
}

const spin = (): never => {
  for (;;);
};
const late = async (): Promise<never> => {
  throw new Error('late');
};

/** What `merge` does when it meets such a number, and what `add` does where the params name it. */
const kinds: Record<number, (a: Sum, b: Sum) => unknown> = {
  13: () => {
    throw new Error('thirteen');
  },
  14: () => ({ n: 14, text: 'x'.repeat(300_000) }),
  15: spin,
  16: late,
  17: () => process.exit(0),
  18: (a) => (setImmediate(() => void late()), a),
  19: () => ({ n: Infinity }),
  20: () => {
    const kept: number[][] = [];
    for (;;) kept.push(Array.from<number>({ length: 1_000_000 }).fill(0.5));
  },
  21: () => (process.kill(process.pid, 'SIGKILL'), spin()),
};

/** Answers, and leaves something behind in its thread. */
const leave = (what: () => unknown) => () => (setTimeout(what, 1), { left: true });

const summaries = {
  lies: leave(async () => {
    const { parentPort } = await import('node:worker_threads');
    const lying = setInterval(() => parentPort?.postMessage({ text: '{"n":666}' }), 0);
    setTimeout(() => clearInterval(lying), 1000);
  }),
  loopsLater: leave(spin),
  throws: () => kinds[13]!({ n: 0 }, { n: 0 }),
  loops: spin,
  answersLate: late,
};

/** Sums {value} over its items, of each or of the params; each part of its `reduce` can be made to misbehave. */
export default defineHandler({
  name: 'reducing',
  description: 'Sums, or fails to',
  input: z.object({ value: z.number(), retries: z.number() }).partial().optional(),
  params: z.object({
    value: z.number().default(1),
    times: z.number().default(1),
    add: z.number().optional(),
    /** `add` misbehaves where it meets this value; at each where none is given. */
    at: z.number().optional(),
    /** And only where something was added before. */
    beside: z.boolean().default(false),
    summary: z.enum(['throws', 'loops', 'answersLate', 'lies', 'loopsLater']).optional(),
  }),
  run: (input, { attempt, params }) => {
    if (attempt <= (input?.retries ?? 0)) throw new Retry({ afterMs: 1 });
    return input?.value ?? params.value;
  },
  reduce: {
    zero: (): Sum => ({ n: 0 }),
    add: (acc, n: number, _, { add, at = n, beside }) =>
      add === undefined || n !== at || (beside && acc.n === 0) ? { n: acc.n + n } : (kinds[add]!(acc, { n }) as Sum),
    merge: (a, b) => (kinds[b.n]?.(a, b) ?? { n: a.n + b.n }) as Sum,
    summary: ({ n }, { times, summary }) => (summary === undefined ? { n: n * times } : summaries[summary]()),
  },
});
