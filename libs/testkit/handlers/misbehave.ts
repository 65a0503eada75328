// Values that are almost promises are what this is about.
// oxlint-disable unicorn/no-thenable
import { appendFileSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';

interface Context {
  index: number;
  attempt: number;
  signal: AbortSignal;
  params: { journal?: string | undefined };
}

const raise = (value: unknown): never => {
  throw value;
};
const unreadable = (): never => {
  throw new Error('not for your eyes');
};
const spin = (ms: number): void => {
  const until = performance.now() + ms;
  while (performance.now() < until);
};
const deep = (levels: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < levels; level += 1) value = [value];
  return value;
};
const cycle = (): unknown => {
  const value: { self?: unknown } = {};
  value.self = value;
  return value;
};
const thenable = (then: (resolve: (value: unknown) => void, reject: (error: unknown) => void) => void): unknown => ({
  then,
});

/** Everything that a handler should not do. */
const kinds = {
  throwUndefined: () => raise(undefined),
  throwNull: () => raise(null),
  throwText: () => raise('just text'),
  throwUnreadable: () => raise(Object.defineProperty(new Error('x'), 'message', { get: unreadable })),
  nan: () => NaN,
  bigint: () => 10n,
  cycle,
  toJson: () => ({ toJSON: unreadable }),
  deep: () => deep(20_000),
  huge: () => 'x'.repeat(100_000_000),
  nul: () => 'a\u0000b',
  surrogate: () => 'half \ud83d',
  nothing: () => undefined,
  thenThrows: () => thenable(() => raise(new Error('then threw'))),
  thenUnreadable: () => Object.defineProperty({}, 'then', { get: unreadable }),
  thenTwice: () => thenable((resolve, reject) => (resolve('first'), resolve('second'), reject(new Error('third')))),
  rejectTwice: () => thenable((_, reject) => (reject(new Error('first')), reject(new Error('second')))),
  thenReplaced: () => Object.assign(Promise.resolve(1), { then: () => raise(new Error('replaced')) }),
  never: () => new Promise(() => undefined),
  busy: () => (spin(7000), 'busy'),
  spin: () => (spin(400), 'spun'),
  waits: () => wait(400, 'waited'),
  // Two that meet run at the same time: neither lets go of its thread.
  meet: ({ params }) => {
    spin(100);
    while (readFileSync(params.journal!, 'utf8').split('\n').length < 3);
    return 'met';
  },
  untilAborted: ({ signal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
  loop: () => spin(Infinity),
  exit: () => process.exit(0),
  loopLater: () => wait(1).then(() => spin(Infinity)),
  exitLater: () => wait(20).then(() => process.exit(3)),
  // It has answered by then.
  rejectLater: () => (setTimeout(() => void Promise.reject(new Error('nobody listens')), 30), 'answered'),
  memory: () => {
    for (const held: unknown[] = []; ;) held.push(Array(1_000_000).fill(0));
  },
  poison: async () => (process.kill(process.pid, 'SIGKILL'), wait(1000)),
} satisfies Record<string, (ctx: Context) => unknown>;

const kindNames = Object.keys(kinds) as (keyof typeof kinds)[];

/** Which items do what; all others answer their index. */
const params = z.object({
  does: z.partialRecord(z.enum(kindNames as [string, ...string[]]), z.array(z.number())).default({}),
  /** A file that gets a line for each start of such an item. */
  journal: z.string().optional(),
  /** In `start`, which comes before the first item. */
  start: z.enum(['loop', 'never', 'exit', 'poison']).optional(),
});

export default defineHandler({
  name: 'misbehave',
  description: 'Does what handlers should not do',
  params,
  start: (ctx) => {
    const kind = ctx.params.start;
    return kind === undefined ? undefined : (kinds[kind]() as Promise<void>);
  },
  run: (_, ctx): unknown => {
    const { does, journal } = ctx.params;
    const kind = kindNames.find((name) => does[name]?.includes(ctx.index));
    if (kind === undefined) return { index: ctx.index };
    if (journal !== undefined) appendFileSync(journal, `${kind} ${ctx.index} ${ctx.attempt}\n`);
    return kinds[kind](ctx);
  },
});
