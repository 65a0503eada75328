import { setTimeout as wait } from 'node:timers/promises';
import { defineHandler } from '@bullpen/handlers';
import postgres from 'postgres';
import { z } from 'zod';

const sql = postgres(process.env['DATABASE_URL']!, { max: 2, onnotice: () => undefined });

/** Writes a row into the table `witness` for each start of an item, then waits {ms}: for tests that count executions. */
export default defineHandler({
  name: 'witness',
  description: 'Writes down each start of an item',
  params: z.object({ ms: z.number() }),
  run: async (_, ctx) => {
    await sql`insert into bullpen.witness (index, pid) values (${ctx.index}, ${process.pid})`;
    await wait(ctx.params.ms);
    return { index: ctx.index };
  },
});
