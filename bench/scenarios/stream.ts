import { setTimeout as sleep } from 'node:timers/promises';
import { appendGroups, download } from '../kit/client.ts';
import type { House, HouseOptions } from '../kit/house.ts';
import { inHouse, workersText } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import { readSlowly, storedUrl, storeResults } from '../kit/readers.ts';
import type { Bench, Figures, Measured, Report, Scenario, Variant, Verdict } from '../kit/scenario.ts';
import { figure, median } from '../kit/stats.ts';
import { factor } from '../kit/verdicts.ts';

const scenario: Scenario = {
  name: 'stream',
  title: 'A never-ending ordered batch: appended to by key, consumed in order, read by many',
  targets: ['P5', 'P10'],
  takes: ['items'],
  isSeed: true,
  run,
};
export default scenario;

const partitionsOfWorker = 4;

async function run(bench: Bench): Promise<Report> {
  const { quick } = bench.asked;
  const rates = await interleave(
    bench,
    (quick ? [1, 12] : [1, 4, 12]).flatMap((partitions) =>
      [1, 3].map((workers) =>
        consuming(bench, `${partitionsText(partitions)}, ${workersText(workers)}`, {
          workers,
          env: { PARTITIONS: String(partitions) },
        }),
      ),
    ),
  );
  const named = await interleave(
    bench,
    [
      consuming(bench, found, { workers: 3 }),
      consuming(bench, pinned, {
        workers: 3,
        envOfWorker: (at) => ({
          WORKER_PARTITIONS: `${at * partitionsOfWorker}-${(at + 1) * partitionsOfWorker - 1}`,
        }),
      }),
    ],
    Math.max(bench.asked.runs, quick ? 1 : 3),
  );
  const readers = quick ? 10 : 50;
  const reads = await interleave(bench, [
    reading(bench, alone, 0),
    reading(bench, `beside ${readers} slow ones`, readers),
  ]);
  return {
    tables: [
      {
        title:
          'Messages of about 100 bytes, appended by 4 producers, 5 000 at a time, while they are consumed in order',
        rows: rates.map(told),
      },
      { title: '12 partitions, 3 workers: found by themselves, or named', rows: named.map(told) },
      { title: 'Results as NDJSON, one fast reader', rows: reads.map(told) },
    ],
    verdicts: verdictsOf(rates, named, reads),
    remarks: [
      'Here producers, service and servers share the cpus, and a message is stored, consumed and counted at the same time. What a worker',
      'consumes of a backlog that was there before (P5): pnpm bench groups.',
    ],
  };
}

const found = 'found by themselves';
const pinned = 'named: WORKER_PARTITIONS 0-3, 4-7, 8-11';
const alone = 'alone';
const partitionsText = (count: number): string => `${count} ${count === 1 ? 'partition' : 'partitions'}`;

/** The seed's own figures, by label. */
const seed: Record<string, string> = {
  [`${partitionsText(1)}, ${workersText(1)}`]: '161 000 a consumer',
  [`${partitionsText(12)}, ${workersText(3)}`]: '1 600 000 expected, 10 × 10 consumers',
  [found]: '2 200',
  [pinned]: '161 000 a consumer',
  [alone]: '2.77 MB in 4–10 ms',
};

const told = (row: Measured): Measured => ({ ...row, words: { 'the seed': seed[row.label] ?? '–' } });

const producers = 4;
const groups = 1000;

const consuming = (bench: Bench, label: string, options: HouseOptions): Variant => ({
  label,
  measure: () =>
    inHouse(bench, options, async (house): Promise<Figures> => {
      const { items = bench.asked.quick ? 100_000 : 600_000 } = bench.asked;
      await consumed(house, 25_000);
      const { perSecond, appendedPerSecond } = await consumed(house, items);
      return { 'messages/s': perSecond, 'appended/s': appendedPerSecond };
    }),
});

/** From the first append to the last acknowledgement; the batch stays open, as a stream does. */
async function consumed({ client, url }: House, items: number) {
  const options = { open: true, groupBy: 'key', ordered: true };
  const { id } = await client.submit({ handler: 'ack', options });
  const started = performance.now();
  const { ms } = await appendGroups(`${url}/v1/batches/${id}/items`, { items, groups, atOnce: producers });
  for (;;) {
    const { counts } = await client.getBatch(id);
    if (counts.succeeded === items) break;
    if (counts.failed > 0) throw new Error(`messages failed: ${JSON.stringify(counts)}`);
    await sleep(10);
  }
  return { perSecond: (items / (performance.now() - started)) * 1000, appendedPerSecond: (items / ms) * 1000 };
}

const times = 3;

const reading = (bench: Bench, label: string, readers: number): Variant => ({
  label,
  measure: () =>
    inHouse(bench, { workers: 1 }, async (house): Promise<Figures> => {
      await storeResults(house);
      const url = await storedUrl(house);
      await download(url, 0);
      const leave = readers > 0 ? await readSlowly(house, readers) : async () => undefined;
      const rates: number[] = [];
      for (let time = 0; time < times; time += 1) {
        const { ms, bytes } = await download(url, 0);
        rates.push((bytes / 1e6 / ms) * 1000);
      }
      await leave();
      return { 'MB/s': median(rates) };
    }),
});

function verdictsOf(rates: readonly Measured[], named: readonly Measured[], reads: readonly Measured[]): Verdict[] {
  const target = 'seed 5';
  const of = (row: Measured): number => median(row.runs.map((figures) => Object.values(figures)[0]!));
  const [one, most] = [Math.max(...rates.slice(0, 2).map(of)), Math.max(...rates.slice(-2).map(of))];
  const [itself, byName] = named.map(of);
  const [fast, beside] = reads.map(of);
  const same = itself! / byName!;
  return [
    { target, asks: 'without naming a partition > 2 200/s', found: figure(itself!), ok: itself! > 2200 },
    { ...factor(target, 'found ÷ named: within 15 %', same, null), ok: Math.abs(1 - same) <= 0.15 },
    factor(target, '12 partitions ÷ 1', most / one, null),
    factor(target, `a fast reader ${reads[1]!.label} ≥ 0.9 ×`, beside! / fast!, 0.9),
  ];
}
