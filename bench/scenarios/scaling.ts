import { iterationsPerUs } from '../kit/calibrate.ts';
import { inHouse, warm, workersText } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import { runLoop } from '../kit/loop.ts';
import { runPeer } from '../kit/peer.ts';
import { phasesOf } from '../kit/phases.ts';
import type { Bench, Measured, Report, Scenario, Variant, Verdict } from '../kit/scenario.ts';
import { sharesOf } from '../kit/shares.ts';
import { median } from '../kit/stats.ts';
import { factor } from '../kit/verdicts.ts';

/** Of cpu, an item. */
const itemUs = 16;
/** Items that a worker has in handlers, each for 5 ms: 2 000 a second at most. */
const waiting = { atOnce: 10, ms: 5 };

const scenario: Scenario = {
  name: 'scaling',
  title: 'Faster with every worker: items that take cpu, and items that wait',
  targets: ['P2'],
  takes: ['items'],
  run,
};
export default scenario;

async function run(bench: Bench): Promise<Report> {
  const { quick, items = quick ? 150_000 : 500_000 } = bench.asked;
  const iterations = Math.round(itemUs * iterationsPerUs());
  const counts = quick ? [1, 3] : [1, 3, 5, 7, 10];
  const cpu = await interleave(bench, [
    ...[1, 3].map((workers) => ours(bench, workers, { items, iterations })),
    ...[1, 3].map((workers) => plain(bench, workers, iterations)),
    ...[1, 3].map((workers) => alone(workers, { items, iterations })),
  ]);
  const waits = await interleave(bench, [
    ...counts.map((workers) => waitingItems(bench, workers)),
    waitingItems(bench, 3, `3 workers, one at half speed`, (at) => (at === 0 ? waiting.atOnce / 2 : waiting.atOnce)),
  ]);
  return {
    tables: [
      { title: `Items that take ${itemUs} µs of cpu`, rows: cpu },
      { title: `Items that wait ${waiting.ms} ms, ${waiting.atOnce} at once in a worker`, rows: waits },
    ],
    verdicts: [...cpuVerdicts(cpu), ...waitVerdicts(waits)],
    remarks: [`${itemUs} µs are ${iterations} iterations here, with a core free`],
  };
}

const ours = (
  bench: Bench,
  workers: number,
  { items, iterations }: { items: number; iterations: number },
): Variant => ({
  label: `Bullpen, ${workersText(workers)}`,
  measure: () =>
    inHouse(bench, { workers }, async (house) => {
      await warm(house, 'burn', { iterations });
      const ran = await house.run({ handler: 'burn', count: items, params: { iterations } });
      return { 'items/s': ran.itemsPerSecond, ...(await sharesOf(house)), ...phasesOf(house, ran).figures };
    }),
});

const plain = ({ servers, asked }: Bench, workers: number, iterations: number): Variant => ({
  label: `plain BullMQ, ${workersText(workers)}`,
  measure: async () => {
    const items = asked.quick ? 15_000 : 40_000;
    return { 'items/s': (await runPeer(servers, 'bullmq', { items, workers, iterations })).itemsPerSecond };
  },
});

const alone = (processes: number, work: { items: number; iterations: number }): Variant => ({
  label: `the item alone, ${workersText(processes)}`,
  measure: async () => ({ 'items/s': await runLoop(processes, work) }),
});

const waitingItems = (
  bench: Bench,
  workers: number,
  label = workersText(workers),
  atOnceOf: (at: number) => number = () => waiting.atOnce,
): Variant => ({
  label,
  measure: () =>
    inHouse(bench, { workers, envOfWorker: (at) => ({ WORKER_CONCURRENCY: String(atOnceOf(at)) }) }, async (house) => {
      const { ms } = waiting;
      await house.run({ handler: 'sleep', count: 500 * workers, params: { ms } });
      const count = (bench.asked.quick ? 5000 : 15_000) * workers;
      const ran = await house.run({ handler: 'sleep', count, params: { ms } });
      return { 'items/s': ran.itemsPerSecond, ...(await sharesOf(house)) };
    }),
});

const rateOf = (rows: readonly Measured[], label: string): number =>
  median(rows.find((row) => row.label === label)!.runs.map((figures) => figures['items/s']!));

function cpuVerdicts(rows: readonly Measured[]): Verdict[] {
  const gain = (who: string): number => rateOf(rows, `${who}, 3 workers`) / rateOf(rows, `${who}, 1 worker`);
  const shares = rows.find((row) => row.label === 'Bullpen, 3 workers')!.runs;
  const [least, most] = [
    median(shares.map((run) => run['least share %']!)),
    median(shares.map((run) => run['most share %']!)),
  ];
  return [
    factor('P2', '16 µs of cpu: 1 → 3 workers ≥ 1.6 × on two cores', gain('Bullpen'), 1.6),
    factor('P2', 'the same with plain BullMQ', gain('plain BullMQ'), null),
    factor('P2', 'the same of the item alone, in bare processes: what the cpus give', gain('the item alone'), null),
    {
      target: 'P2',
      asks: 'shares of 3 equal workers 30–37 %',
      found: `${least.toFixed(1)}–${most.toFixed(1)} %`,
      ok: least >= 30 && most <= 37,
    },
  ];
}

function waitVerdicts(rows: readonly Measured[]): Verdict[] {
  const one = rateOf(rows, '1 worker');
  const many = [5, 7, 10].filter((workers) => rows.some(({ label }) => label === workersText(workers)));
  return [
    factor('P2', 'waiting: 1 → 3 workers ≥ 2.9 ×', rateOf(rows, '3 workers') / one, 2.9),
    ...many.map((workers) =>
      factor(
        'P2',
        `waiting: 1 → ${workers} workers ≥ ${(0.9 * workers).toFixed(1)} ×`,
        rateOf(rows, workersText(workers)) / one,
        0.9 * workers,
      ),
    ),
    factor('P2', 'one of three at half speed ≥ 2.3 ×', rateOf(rows, '3 workers, one at half speed') / one, 2.3),
  ];
}
