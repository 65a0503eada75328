import { randomUUID } from 'node:crypto';
import { joinTexts } from '@bullpen/db';
import { outputOf } from '../peers/item.mjs';
import { onBareDatabase } from './bare-database.ts';
import type { Bench } from './scenario.ts';

const chunkSize = 1000;
/** Chunks of one flush: 4 000 results, as with the default of FLUSH_MAX_ITEMS. */
const chunksOfFlush = 4;

/** The flush statement alone, over so many connections, into one batch: rows a second. */
export const flushRows = (bench: Bench, connections: number, rows: number): Promise<number> =>
  onBareDatabase(bench, connections, async ({ statements, ofWorker, sql }) => {
    const total = Math.ceil(rows / chunkSize) * chunkSize;
    const batch = { id: randomUUID(), name: null, handler: 'echo', total, params: null, options: '{}' };
    const no = await statements.acceptCount(batch, chunkSize);
    const claim = randomUUID();
    await sql`update chunks set state = 'running', claim = ${claim}::uuid, generation = 1, partition = 1 where batch = ${no}`;
    const chunks = await sql<{ no: number; first: number }[]>`
      select no::int, first from chunks where batch = ${no} order by no`;
    const outputs = joinTexts(Array.from({ length: chunkSize }, (_, index) => JSON.stringify(outputOf(index, 0))));
    const settled = chunks.map((chunk) => ({
      ...chunk,
      claim,
      outputs,
      succeeded: chunkSize,
      indexes: null,
      failures: [],
      rests: [],
    }));
    const started = performance.now();
    await Promise.all(
      Array.from({ length: connections }, async () => {
        for (let some = settled.splice(0, chunksOfFlush); some.length > 0; some = settled.splice(0, chunksOfFlush))
          await ofWorker.flush(some);
      }),
    );
    return (total / (performance.now() - started)) * 1000;
  });
