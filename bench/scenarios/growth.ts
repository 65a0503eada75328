import { ended, type House } from '../kit/house.ts';
import { inHouse, params, warm } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import { bytesOfAJob } from '../kit/publish-jobs.ts';
import type { Bench, Measured, Report, Scenario, Variant, Verdict } from '../kit/scenario.ts';
import { median } from '../kit/stats.ts';
import { factor } from '../kit/verdicts.ts';

const scenario: Scenario = {
  name: 'growth',
  title: 'Ten times the items, and a thousand batches that wait',
  targets: ['P9', 'P8'],
  takes: ['workers'],
  run,
};
export default scenario;

/** What waits beside the batch that is measured. */
const waiting = { paused: 500, backingOff: 400, running: 100 };

async function run(bench: Bench): Promise<Report> {
  const { quick, workers = 3 } = bench.asked;
  const small = quick ? 100_000 : 1_000_000;
  const sizes = await interleave(bench, [ofSize(bench, workers, small), ofSize(bench, workers, 10 * small)]);
  const batches = await interleave(bench, [
    beside(bench, workers, { label: 'in one batch', running: 1, isBeside: false }),
    beside(bench, workers, { label: 'in one batch, beside 900 that wait', running: 1, isBeside: true }),
    beside(bench, workers, { label: 'in 100 running of 1 000 batches', running: waiting.running, isBeside: true }),
  ]);
  return {
    tables: [
      { title: 'By size', rows: sizes },
      { title: 'The same chunks of 1 000 items, alone and in a backlog', rows: batches },
    ],
    verdicts: [
      ratio('10 × the items ≥ 0.9 ×', sizes),
      ratio('one beside 900 that wait ≥ 0.9 × of one', batches),
      ratio('with 1 000 batches ≥ 0.9 × of one', [batches[0]!, batches[2]!]),
      memory(sizes),
      redis(await bytesOfAJob(bench)),
    ],
    remarks: [],
  };
}

const ofSize = (bench: Bench, workers: number, items: number): Variant => ({
  label: `${items / 1e6} million items`,
  measure: () =>
    inHouse(bench, { workers }, async (house) => {
      await warm(house);
      const ran = await house.run({ handler: 'echo', count: items, params });
      const mb = Object.entries(ran.usage).map(([name, { rssMb }]) => (name.startsWith('worker') ? rssMb : 0));
      return {
        'items/s': ran.itemsPerSecond,
        'MB worker': Math.max(...mb),
        'MB producer': ran.usage['producer']!.rssMb,
      };
    }),
});

/** The same items in so many batches that run; alone, or beside those that are paused or wait for another attempt. */
const beside = (
  bench: Bench,
  workers: number,
  { label, running, isBeside }: { label: string; running: number; isBeside: boolean },
): Variant => ({
  label,
  measure: () =>
    inHouse(bench, { workers }, async (house) => {
      await warm(house);
      const items = bench.asked.quick ? 200_000 : 1_000_000;
      if (isBeside) await fill(house);
      const started = performance.now();
      const made = await Promise.all(
        Array.from({ length: running }, () =>
          house.client.submit({ handler: 'echo', count: items / running, params, options: { chunkSize: 1000 } }),
        ),
      );
      for (const { id } of made) await ended(house.client, id);
      return { 'items/s': (items / (performance.now() - started)) * 1000 };
    }),
});

/** Batches of 1 000 items that do not run: some are paused, the chunks of others wait for an hour. */
async function fill({ client, sql }: House): Promise<void> {
  for (let made = 0; made < waiting.paused + waiting.backingOff; made += 1) {
    const { id } = await client.submit({ handler: 'echo', count: 1000, params: { ms: made } });
    if (made < waiting.paused) await sql`update batches set state = 'paused', reason = 'user' where id = ${id}`;
    // In the order in which all statements lock chunks.
    await sql`update chunks set state = 'pending', not_before = now() + interval '1 hour' where no = any(array(
      select c.no from chunks c join batches b on b.no = c.batch
      where b.id = ${id} and c.state in ('pending', 'queued') order by c.no for update of c))`;
  }
  await sql`vacuum analyze chunks`;
}

const rateOf = ({ runs }: Measured, name = 'items/s'): number => {
  const values = runs.flatMap((figures) => (figures[name] === undefined ? [] : [figures[name]]));
  return values.length === 0 ? 0 : median(values);
};

function ratio(asks: string, [base, other]: readonly Measured[]): Verdict {
  const found = rateOf(other!) / rateOf(base!);
  return factor('P9', asks, found, 0.9);
}

function memory(rows: readonly Measured[]): Verdict {
  const mb = Math.max(...rows.map((row) => rateOf(row, 'MB worker')));
  return { target: 'P8', asks: 'worker ≤ 250 MB', found: `${mb} MB`, ok: mb <= 250 };
}

const redis = (bytes: number): Verdict => ({
  target: 'P8',
  asks: 'Redis ≤ 1 KB a chunk',
  found: `${Math.round(bytes)} bytes`,
  ok: bytes <= 1024,
});
