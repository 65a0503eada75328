import type { House } from '../kit/house.ts';
import { inHouse, params, warm, workersText } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import type { Bench, Figures, Measured, Report, Scenario, Variant, Verdict } from '../kit/scenario.ts';
import { figure, median } from '../kit/stats.ts';
import { factor } from '../kit/verdicts.ts';

const scenario: Scenario = {
  name: 'limits',
  title: 'A limit that is reached, and one far above the load',
  targets: ['P6', 'P10'],
  takes: [],
  run,
};
export default scenario;

/** Calls a second. */
const limit = 50;
const callsAnItem = 2;

async function run(bench: Bench): Promise<Report> {
  const kept = await interleave(
    bench,
    [1, 4, 8].map((workers) => reached(bench, workers)),
  );
  const free = await interleave(bench, [
    farAbove(bench, 'no limit', {}),
    farAbove(bench, 'rateLimit 1 000 000/s', { rateLimit: { limit: 1_000_000, perMs: 1000, cost: 1 } }),
    farAbove(bench, 'concurrency 100 000', { concurrency: 100_000 }),
  ]);
  const rate = (at: number): number => median(free[at]!.runs.map((figures) => figures['items/s']!));
  return {
    tables: [
      { title: `Calls under a limit of ${limit}/s, ${callsAnItem} calls an item`, rows: kept },
      { title: 'The same items without a limit, and with one that they do not reach', rows: free },
    ],
    verdicts: [
      ...kept.flatMap(keptVerdicts),
      ...[1, 2].map((at) => factor('P10', `${free[at]!.label}: ≥ 0.9 ×`, rate(at) / rate(0), 0.9)),
    ],
    remarks: [],
  };
}

function keptVerdicts({ label, runs }: Measured): Verdict[] {
  const most = Math.max(...runs.map((figures) => figures['most in 1 s']!));
  const used = median(runs.map((figures) => figures['× limit']!));
  return [
    {
      target: 'P6',
      asks: `${label}: calls in any second ≤ ${limit} + 2 %`,
      found: figure(most),
      ok: most <= limit * 1.02,
    },
    factor('P6', `${label}: ≥ 0.97 × the limit`, used, 0.97),
  ];
}

const reached = (bench: Bench, workers: number): Variant => ({
  label: workersText(workers),
  measure: () =>
    inHouse(bench, { workers }, async (house) => {
      await warm(house);
      const rateLimit = { limit, perMs: 1000, cost: callsAnItem };
      const seconds = bench.asked.quick ? 8 : 30;
      const count = (seconds * limit) / callsAnItem;
      const { batch } = await house.run({ handler: 'calls', count, options: { rateLimit } });
      return figuresOf(await callsOf(house, batch.id));
    }),
});

/** When each call was made, by the clock of this machine, which is the database's too. */
async function callsOf({ sql }: House, id: string): Promise<number[]> {
  const rows = await sql<{ at: number }[]>`
    select json_array_elements_text(output -> 'calls')::float8 as at from results
    where batch = (select no from batches where id = ${id}) order by 1`;
  return rows.map(({ at }) => at);
}

function figuresOf(calls: readonly number[]): Figures {
  let first = 0;
  let most = 0;
  for (const [at, time] of calls.entries()) {
    while (time - calls[first]! >= 1000) first += 1;
    most = Math.max(most, at - first + 1);
  }
  // From the first item to the last: so many intervals, one fewer than items.
  const seconds = (calls.at(-1)! - calls[0]!) / 1000;
  return { 'most in 1 s': most, '× limit': (calls.length - callsAnItem) / seconds / limit };
}

const farAbove = (bench: Bench, label: string, options: object): Variant => ({
  label,
  measure: () =>
    inHouse(bench, { workers: 3 }, async (house) => {
      await warm(house);
      const count = bench.asked.quick ? 200_000 : 1_000_000;
      const ran = await house.run({ handler: 'echo', count, params, options });
      return { 'items/s': ran.itemsPerSecond };
    }),
});
