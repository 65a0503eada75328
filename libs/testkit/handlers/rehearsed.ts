import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';

/** Made by `start`, which a dry run leaves out. */
const started = new WeakSet<object>();

/** Says which of its functions ran. In both, item {exit} ends its process. */
export default defineHandler({
  name: 'rehearsed',
  description: 'Answers {did}, and in a dry run {would}',
  input: z.object({ key: z.string(), n: z.number() }),
  params: z.object({ exit: z.number().default(-1) }).prefault({}),
  start: (ctx) => void started.add(ctx.params),
  run: ({ n }, ctx): object => {
    if (ctx.index === ctx.params.exit) process.exit(3);
    return { did: n, started: started.has(ctx.params) };
  },
  dryRun: async ({ n }, ctx): Promise<object> => {
    await ctx.limit(3);
    if (ctx.index === ctx.params.exit) process.exit(3);
    return { would: n, started: started.has(ctx.params) };
  },
  reduce: {
    zero: () => ({ items: 0 }),
    add: ({ items }) => ({ items: items + 1 }),
    merge: (a, b) => ({ items: a.items + b.items }),
  },
});
