import { setTimeout as wait } from 'node:timers/promises';
import { defineHandler, Fail, Retry } from '@bullpen/handlers';
import { z } from 'zod';

/** Made by `start`, so that an item sees whether that ran where it runs. */
const started = new WeakSet<object>();

/** Each way in which an item can go, in turn, with all that the context gives. */
export default defineHandler({
  name: 'varied',
  description: 'Succeeds, fails, waits, asks for more and answers nothing, in turn',
  input: z.object({ n: z.number(), text: z.string().default('none') }),
  params: z.object({ times: z.number().default(2) }),
  start: (ctx) => void started.add(ctx.params),
  run: ({ n, text }, ctx): unknown => {
    const { index, attempt, params, itemKey, signal } = ctx;
    const last = itemKey.endsWith(`:${index}`) && !signal.aborted && started.has(params);
    const output = { index, n: n * params.times, text, attempt, random: [ctx.random(), ctx.random()], last };
    const cache = ctx.cache<{ hits: number }>('varied', { max: 10 });
    cache.set('hits', { hits: (cache.get('hits')?.hits ?? 0) + 1 });
    if (index % 50 === 0) ctx.log.info({ index }, 'one of fifty');
    switch (index % 10) {
      case 1:
        throw new Fail('bad', `item ${index} – ${text}`);
      case 2:
        if (attempt === 1) throw new Retry({ afterMs: 10 });
        return output;
      case 3:
        return undefined;
      case 4:
        throw new Error(`always, ${ctx.random()}`);
      case 5:
        return wait(1, output);
      case 6:
        return ctx.random() < 0.5 ? Promise.reject(new Fail('later', text)) : wait(0, undefined);
      case 7:
        return 10n;
      case 8:
        return 'a\u0000b \ud83d é 漢 😀';
      default:
        return output;
    }
  },
});
