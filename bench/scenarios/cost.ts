import { iterationsPerUs } from '../kit/calibrate.ts';
import { inHouse, warm, workersText } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import type { Bench, Report, Scenario, Variant } from '../kit/scenario.ts';

const scenario: Scenario = {
  name: 'cost',
  title: 'By what an item costs: so many µs of cpu each, with one worker and with three',
  targets: [],
  takes: ['items'],
  isAside: true,
  run,
};
export default scenario;

/** µs of an item, and items of a batch; of the expensive ones fewer. */
const steps = [
  { us: 0, items: 500_000 },
  { us: 10, items: 300_000 },
  { us: 100, items: 60_000 },
  { us: 1000, items: 8000 },
];

async function run(bench: Bench): Promise<Report> {
  const perUs = iterationsPerUs();
  const rows = await interleave(
    bench,
    steps.flatMap((step) => [1, 3].map((workers) => ofCost(bench, workers, step, perUs))),
  );
  return {
    tables: [{ title: scenario.title, rows }],
    verdicts: [],
    remarks: [`An item of 1 µs is ${Math.round(perUs)} iterations here, with a core free`],
  };
}

const ofCost = (bench: Bench, workers: number, { us, items }: (typeof steps)[number], perUs: number): Variant => ({
  label: `${us} µs, ${workersText(workers)}`,
  measure: () =>
    inHouse(bench, { workers }, async (house) => {
      await warm(house, 'burn', { iterations: 0 });
      const params = { iterations: Math.round(us * perUs) };
      const count = bench.asked.items ?? (bench.asked.quick ? items / 4 : items);
      const ran = await house.run({ handler: 'burn', count, params });
      return { 'items/s': ran.itemsPerSecond, 'µs of an item': us, workers };
    }),
});
