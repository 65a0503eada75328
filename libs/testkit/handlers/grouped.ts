import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { withRetry } from '@bullpen/db';
import { defineHandler, Fail, Retry } from '@bullpen/handlers';
import postgres from 'postgres';
import { z } from 'zod';

// A commit here waits for the disk, and with it all that its server wrote before. So that a crash of that can lose something, these may
// go to another one.
const url = process.env['WITNESS_URL'] ?? process.env['DATABASE_URL']!;
const sql = postgres(url, { max: 4, onnotice: () => undefined });

/** Waits for a server that was killed. What is told twice by that is one: the first start and the last end count. */
const told = <Answer>(tell: () => Promise<Answer>): Promise<Answer> => withRetry(tell, { reconnectMs: Infinity });

const isForgiven = async (batch: string): Promise<boolean> => {
  const rows = await told(async () => await sql`select from bullpen.forgiven where batch = ${batch}`);
  return rows.length > 0;
};

/**
 * For tests of order: each attempt writes a row when it starts and one when it ends, with an id of its own, which is also its output, or
 * the message of its failure. So it can be told which of them were committed.
 */
export default defineHandler({
  name: 'grouped',
  description: 'Writes down when each attempt of an item begins and ends',
  input: z.object({
    key: z.string().optional(),
    ms: z.number().default(0),
    retries: z.number().default(0),
    waitMs: z.number().default(20),
    /** It fails for good until its batch is forgiven. */
    fails: z.boolean().default(false),
  }),
  run: async ({ key = '', ms, retries, waitMs, fails }, ctx) => {
    const run = randomUUID();
    const batch = ctx.itemKey.split(':')[0]!;
    const tell = (phase: 'start' | 'end') =>
      told(
        async () =>
          await sql`insert into bullpen.attempts (run, batch, key, index, attempt, phase) values (${run}, ${batch}, ${key}, ${ctx.index}, ${ctx.attempt}, ${phase})`,
      );
    await tell('start');
    const mustFail = fails && !(await isForgiven(batch));
    if (ms > 0) await wait(ms);
    await tell('end');
    if (ctx.attempt <= retries) throw new Retry({ afterMs: waitMs });
    if (mustFail) throw new Fail('asked', run);
    return { run };
  },
});
