import type { House } from '../kit/house.ts';
import { inHouse, params, warm } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import { readSlowly, storeResults } from '../kit/readers.ts';
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
      await storeResults(house);
      const end = await begin(house);
      const ran = await house.run({ handler: 'echo', count: bench.asked.quick ? 200_000 : 1_000_000, params, options });
      await end();
      return { 'items/s': ran.itemsPerSecond, 'MB producer': ran.usage['producer']!.rssMb };
    }),
});

const nothing = async () => async () => undefined;
