import { setTimeout as sleep } from 'node:timers/promises';
import { slowReaders } from '../kit/client.ts';
import type { House } from '../kit/house.ts';
import { inHouse, params, warm } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import type { Bench, Report, Scenario, Variant } from '../kit/scenario.ts';
import { median } from '../kit/stats.ts';
import { factor } from '../kit/verdicts.ts';

const scenario: Scenario = {
  name: 'features',
  title: 'The same items with a feature on',
  targets: ['P10'],
  takes: ['workers'],
  run,
};
export default scenario;

/** At first each reader gets what fits into the buffers between, 4 MB and more, as fast as it can be read. */
const settleMs = 500;

async function run(bench: Bench): Promise<Report> {
  const readers = bench.asked.quick ? 10 : 50;
  const rows = await interleave(bench, [
    variant(bench, 'plain', nothing),
    variant(bench, `${readers} slow readers`, (house) => readSlowly(house, readers)),
    variant(bench, 'a key, a seed, 25 attempts', nothing, {
      maxAttempts: 25,
      backoffMs: 10,
      seed: 7,
    }),
  ]);
  const rate = (at: number): number => median(rows[at]!.runs.map((figures) => figures['items/s']!));
  const verdicts = rows.slice(1).map(({ label }, at) => {
    const found = rate(at + 1) / rate(0);
    return factor('P10', `${label}: ≥ 0.9 ×`, found, 0.9);
  });
  return { tables: [{ title: scenario.title, rows }], verdicts, remarks: [] };
}

const variant = (
  bench: Bench,
  label: string,
  begin: (house: House) => Promise<() => Promise<unknown>>,
  options: object = {},
): Variant => ({
  label,
  measure: () =>
    inHouse(bench, { workers: bench.asked.workers ?? 3 }, async (house) => {
      await warm(house);
      await store(house);
      const end = await begin(house);
      const ran = await house.run({ handler: 'echo', count: bench.asked.quick ? 200_000 : 1_000_000, params, options });
      await end();
      return { 'items/s': ran.itemsPerSecond, 'MB producer': ran.usage['producer']!.rssMb };
    }),
});

const stored = { name: 'stored', rows: 500_000 };

/** An earlier batch with many results. Every variant has it: writing it down goes on in the background for a while. */
async function store({ client, sql }: House): Promise<void> {
  const { id } = await client.submit({ handler: 'echo', count: 1000, name: stored.name });
  await sql`insert into results (batch, index, finished_at, status, attempt, output)
    select no, i + 1000, now(), 1, 1, ${JSON.stringify(params)}::text::json
    from batches, generate_series(0, ${stored.rows - 1}::int) i where id = ${id}`;
  await sql`checkpoint`;
}

const nothing = async () => async () => undefined;

/** Clients read its results, 20 kB a second each, and none of them gets far. */
async function readSlowly({ sql, url }: House, readers: number): Promise<() => Promise<unknown>> {
  const [batch] = await sql`select id from batches where name = ${stored.name}`;
  const leave = await slowReaders(`${url}/v1/batches/${batch!['id']}/results`, readers, 20);
  await sleep(readers * settleMs);
  return leave;
}
