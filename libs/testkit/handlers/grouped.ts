import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { defineHandler, Retry } from '@bullpen/handlers';
import postgres from 'postgres';
import { z } from 'zod';

const sql = postgres(process.env['DATABASE_URL']!, { max: 4, onnotice: () => undefined });

/**
 * For tests of order: each attempt writes a row when it starts and one when it ends, with an id of its own, which is also its output. So it
 * can be told which of them were committed.
 */
export default defineHandler({
  name: 'grouped',
  description: 'Writes down when each attempt of an item begins and ends',
  input: z.object({
    key: z.string(),
    ms: z.number().default(0),
    retries: z.number().default(0),
    waitMs: z.number().default(20),
  }),
  run: async ({ key, ms, retries, waitMs }, ctx) => {
    const run = randomUUID();
    const tell = (phase: 'start' | 'end') =>
      sql`insert into bullpen.attempts (run, batch, key, index, attempt, phase) values (${run}, ${ctx.itemKey.split(':')[0]!}, ${key}, ${ctx.index}, ${ctx.attempt}, ${phase})`;
    await tell('start');
    if (ms > 0) await wait(ms);
    await tell('end');
    if (ctx.attempt <= retries) throw new Retry({ afterMs: waitMs });
    return { run };
  },
});
