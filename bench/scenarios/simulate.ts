import { inHouse, workersText } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import type { Bench, Measured, Report, Scenario, Variant, Verdict } from '../kit/scenario.ts';
import { sharesOf } from '../kit/shares.ts';
import { figure, median } from '../kit/stats.ts';
import { factor } from '../kit/verdicts.ts';
import { windowsOf } from '../kit/windows.ts';

const scenario: Scenario = {
  name: 'simulate',
  title: 'Seed 1: runs of a bingo event, from new processes',
  targets: [],
  takes: [],
  isSeed: true,
  run,
};
export default scenario;

const counts = [1, 3];

/** What the seed's own last runs of each size took with 1 worker and with 3, in seconds: its sections 1.1 and 1.8. */
const sizes = [
  { items: 10_000, seed: [11.6, 11] },
  { items: 50_000, seed: [19.3, 18.5] },
  { items: 100_000, seed: [35.9, 35.7] },
  { items: 500_000, seed: [183.8, 186.5] },
] as const;
type Size = (typeof sizes)[number];

/** What the seed logged of 500 000 runs once it was warm, per 10 000 runs. */
const seedWindows = ['sim 595 ms, 3 189 runs/s', 'sim 208–241 ms, 3 072 runs/s, shares 32, 33, 35 %'];

interface Sized extends Measured {
  size: Size;
  workers: number;
}

async function run(bench: Bench): Promise<Report> {
  const chosen = bench.asked.quick ? sizes.filter(({ items }) => items <= 50_000) : sizes;
  const kinds = chosen.flatMap((size) => counts.map((workers) => ({ size, workers })));
  const measured = await interleave(
    bench,
    kinds.map(({ size, workers }) => from(bench, size, workers)),
  );
  const rows = measured.map((row, at): Sized => ({ ...row, ...kinds[at]! }));
  const largest = chosen.at(-1)!;
  const long = rows.filter(({ size }) => size === largest);
  return {
    tables: [
      { title: 'From the request to the last result, the first batch of new processes', rows: rows.map(elapsed(rows)) },
      {
        title: `Windows of ${figure(largest.items)} runs: waits and handler time per 10 000 runs once it is warm`,
        rows: long.map((row, at) => ({
          label: row.label,
          words: { 'the seed': seedWindows[at]! },
          runs: row.runs.map(windowed),
        })),
      },
    ],
    verdicts: verdictsOf(rows),
    remarks: [],
  };
}

const labelOf = ({ items }: Size, workers: number): string => `${figure(items)} runs, ${workersText(workers)}`;

/** Each in a house of its own: the warm-up belongs to it. */
const from = (bench: Bench, size: Size, workers: number): Variant => ({
  label: labelOf(size, workers),
  measure: () =>
    inHouse(bench, { workers, env: { METRICS_WINDOW_MS: '500' } }, async (house) => {
      const { seconds, itemsPerSecond } = await house.run({
        handler: 'simulate',
        count: size.items,
        options: { seed: 1 },
      });
      const published = house.producer.lines('published');
      const total = (name: string): number => published.reduce((sum, line) => sum + Number(line[name] ?? 0), 0);
      const handedOver = (total('scheduled') / (total('markMs') + total('addMs'))) * 1000;
      const shares = await sharesOf(house);
      return {
        seconds: seconds,
        'runs/s': itemsPerSecond,
        ...(handedOver > 0 && { 'delivered/s': handedOver }),
        ...windowsOf(house),
        ...shares,
      };
    }),
});

const timed = ['seconds', 'runs/s', 'delivered/s'];

/** The columns of the first table, with the factor to one worker of the same turn. */
const elapsed =
  (rows: readonly Sized[]) =>
  ({ label, size, workers, runs }: Sized): Measured => {
    const one = rows.find((row) => row.size === size && row.workers === 1)!.runs;
    const seconds = size.seed[counts.indexOf(workers)]!;
    return {
      label,
      words: { 'the seed': `${seconds} s, ${figure(Math.round(size.items / seconds))}/s` },
      runs: runs.map((figures, at) => ({
        ...Object.fromEntries(Object.entries(figures).filter(([name]) => timed.includes(name))),
        '× 1 worker': figures['runs/s']! / one[at]!['runs/s']!,
      })),
    };
  };

const windowed = (figures: Measured['runs'][number]): Measured['runs'][number] =>
  Object.fromEntries(Object.entries(figures).filter(([name]) => !timed.includes(name)));

function verdictsOf(rows: readonly Sized[]): Verdict[] {
  const of = (items: number, workers: number, name: string): number | null => {
    const row = rows.find((each) => each.size.items === items && each.workers === workers);
    return row === undefined ? null : median(row.runs.map((figures) => figures[name] ?? 0));
  };
  const within = (items: number, seconds: number): Verdict[] => {
    const found = of(items, 3, 'seconds');
    const asks = `${figure(items)} runs ≤ ${seconds} s with 3 workers`;
    return found === null ? [] : [{ target: 'seed 1', asks, found: `${figure(found)} s`, ok: found <= seconds }];
  };
  const last = rows.at(-1)!.size.items;
  const steady = of(last, 3, 'warm items/s') ?? 0;
  const handed = of(last, 3, 'delivered/s') ?? 0;
  const gain = (name: string): number => of(last, 3, name)! / of(last, 1, name)!;
  return [
    ...within(50_000, 35),
    ...within(500_000, 70),
    { target: 'seed 1', asks: 'steady ≥ 4 500 runs/s', found: figure(steady), ok: steady >= 4500 },
    { target: 'seed 1', asks: 'delivered ≥ 10 000 runs/s', found: figure(handed), ok: handed >= 10_000 },
    factor('seed 1', `${figure(last)} runs: 3 workers ≥ 1.5 × of one, with the warm-up`, gain('runs/s'), 1.5),
    factor('seed 1', 'the same once both are warm', gain('warm items/s'), 1.5),
  ];
}
