import type { Sql } from 'postgres';
import { onBareDatabase } from '../kit/bare-database.ts';
import { inHouse, params, warm } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import { bytesOfAJob } from '../kit/publish-jobs.ts';
import type { Bench, Report, Scenario, Variant } from '../kit/scenario.ts';
import { newBatch } from '../kit/worlds.ts';

const scenario: Scenario = {
  name: 'bytes',
  title: 'What an item and a chunk take: in PostgreSQL, in Redis, in a worker',
  targets: [],
  takes: [],
  isAside: true,
  run,
};
export default scenario;

async function run(bench: Bench): Promise<Report> {
  const stored = await interleave(bench, [chunk(bench), input(bench), result(bench), job(bench)]);
  const workers = await interleave(bench, [worker(bench, 0), worker(bench, bench.asked.quick ? 100_000 : 1_000_000)]);
  return {
    tables: [
      { title: 'Bytes of each: with pages and keys, and of the row alone', rows: stored },
      { title: 'MB of a process', rows: workers },
    ],
    verdicts: [],
    remarks: [],
  };
}

/** Bytes of a table for each of so many things in it: all of its files, and the mean row. Partitions are taken together. */
async function sizeOf(sql: Sql, table: string, things: number): Promise<{ bytes: number; 'bytes of the row': number }> {
  const [size] = await sql<{ bytes: number }[]>`
    select sum(pg_total_relation_size(c.oid))::float8 as bytes from pg_class c
    where c.oid = ${table}::regclass or c.oid in (select inhrelid from pg_inherits where inhparent = ${table}::regclass)`;
  const [row] = await sql<{ bytes: number }[]>`
    select sum(pg_column_size(t.*))::float8 as bytes from ${sql(table)} t`;
  return { bytes: size!.bytes / things, 'bytes of the row': row!.bytes / things };
}

const chunk = (bench: Bench): Variant => ({
  label: 'a chunk that waits, without inputs',
  measure: () =>
    onBareDatabase(bench, 1, async ({ statements, sql }) => {
      const chunks = 50_000;
      await statements.acceptCount({ ...newBatch(1), total: chunks }, 1);
      return sizeOf(sql, 'chunks', chunks);
    }),
});

const input = (bench: Bench): Variant => ({
  label: 'an input of 40 bytes',
  measure: () =>
    onBareDatabase(bench, 1, async ({ statements, sql }) => {
      const [chunks, size] = [50, 1000];
      const lines = (first: number): object[] =>
        Array.from({ length: size }, (_, at) => ({ user: `user-${1e8 + first + at}`, amount: 1000 + at }));
      const given = Array.from({ length: chunks }, (_, at) => ({
        first: at * size,
        size,
        items: JSON.stringify(lines(at * size)),
      }));
      await statements.acceptInputs({ ...newBatch(1), total: chunks * size }, given);
      return sizeOf(sql, 'inputs', chunks * size);
    }),
});

const result = (bench: Bench): Variant => ({
  label: 'a result of 45 bytes',
  measure: () =>
    inHouse(bench, { workers: 1 }, async (house) => {
      const { batch } = await house.run({ handler: 'burn', count: 100_000, params: { iterations: 0 } });
      return sizeOf(house.sql, 'results', batch.counts.total);
    }),
});

const job = (bench: Bench): Variant => ({
  label: 'a job that waits, in Redis',
  measure: async () => ({ bytes: await bytesOfAJob(bench) }),
});

const worker = (bench: Bench, items: number): Variant => ({
  label: items === 0 ? 'after its first 10 000 items' : `after ${items / 1e6} million items`,
  measure: () =>
    inHouse(bench, { workers: 1 }, async (house) => {
      await warm(house);
      const { usage } = await house.run({ handler: 'echo', count: Math.max(1000, items), params });
      return { 'MB worker': usage['worker 1']!.rssMb, 'MB producer': usage['producer']!.rssMb };
    }),
});
