import { setTimeout as sleep } from 'node:timers/promises';
import { defineHandler, Retry } from '@bullpen/handlers';
import { z } from 'zod';

/** When the item was in its handler, by the machine's clock, which is the database's too. Waits {ms}, or is busy for so long. */
export default defineHandler({
  name: 'timed',
  description: 'Says when it began and when it ended',
  input: z.object({ ms: z.number().optional() }).optional(),
  params: z
    .object({
      ms: z.number().default(0),
      busy: z.boolean().default(false),
      further: z.number().default(0),
      /** The first attempt of item 0 asks that all wait for so long. */
      pauseMs: z.number().default(0),
    })
    .prefault({}),
  run: (input, ctx) => {
    const { ms, busy, further, pauseMs } = ctx.params;
    if (pauseMs > 0 && ctx.index === 0 && ctx.attempt === 1) throw new Retry({ afterMs: pauseMs, forAll: true });
    const from = Date.now();
    const answer = () => ({ from, to: Date.now(), pid: process.pid, attempt: ctx.attempt });
    const waitMs = input?.ms ?? ms;
    if (busy) {
      for (const until = performance.now() + waitMs; performance.now() < until;) continue;
      return answer();
    }
    return (async () => {
      const calls: number[] = [];
      for (let call = 0; call < further; call += 1) {
        await ctx.limit();
        calls.push(Date.now());
      }
      await sleep(waitMs);
      return { ...answer(), calls };
    })();
  },
});
