import type { WorkerAnswer } from '@bullpen/api';
import { posts } from '../kit/client.ts';
import { delayed } from '../kit/delay.ts';
import type { House } from '../kit/house.ts';
import { inHouse, params } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import type { Bench, Figures, Measured, Report, Scenario, Variant, Verdict } from '../kit/scenario.ts';
import { figure, median, quantile } from '../kit/stats.ts';
import { chunksByTheLaw, steadyRate } from '../kit/steady.ts';
import { factor } from '../kit/verdicts.ts';

const scenario: Scenario = {
  name: 'add',
  title: 'Single items over REST, and a worker far from its servers',
  targets: ['P4', 'P7'],
  takes: [],
  isSeed: true,
  run,
};
export default scenario;

async function run(bench: Bench): Promise<Report> {
  const { quick } = bench.asked;
  const distances = quick ? [0, 50] : [0, 1, 10, 50, 200];
  const singles = await interleave(bench, [single(bench, 'true'), single(bench, 'false')]);
  const chunks = await interleave(bench, [
    ...distances.map((ms) => away(bench, ms, byChunks(bench))),
    ...(quick ? [] : [away(bench, 50, { ...byChunks(bench), values: ['auto'] }, 100)]),
  ]);
  const items = await interleave(
    bench,
    (quick ? [50] : distances).map((ms) => away(bench, ms, byItems(bench))),
  );
  return {
    tables: [
      { title: 'POST /v1/jobs/add, 64 requests at once, 1 worker', rows: told(singles, seedPosts) },
      { title: 'echo: items/s by distance and WORKER_CHUNKS, 1 worker', rows: told(chunks, seedDistances) },
      { title: 'sleep 1 ms: items/s by distance and WORKER_CONCURRENCY, 1 worker', rows: told(items, seedDistances) },
    ],
    verdicts: verdictsOf(singles, chunks, items),
    remarks: ['Single items beside a bare route, and from POST to result: pnpm bench single. P4: pnpm bench distance.'],
  };
}

const labelOf = (ms: number): string => `${ms} ms away`;

/** The seed's own figures, by label. */
const seedPosts: Record<string, string> = { 'auto-batching on': '5 000–10 000/s expected' };
const seedDistances: Record<string, string> = {
  [labelOf(0)]: '35 000–50 000 expected with 50 fetchers',
  [labelOf(1)]: '35 000–50 000 expected with 50 fetchers',
  [labelOf(50)]: '2 000 with 50 fetchers, 28 000–40 000 expected with 500–1 000',
};

const told = (rows: readonly Measured[], seed: Record<string, string>): Measured[] =>
  rows.map((row) => ({ ...row, words: { 'the seed': seed[row.label] ?? '–' } }));

const single = (bench: Bench, auto: 'true' | 'false'): Variant => ({
  label: `auto-batching ${auto === 'true' ? 'on' : 'off'}`,
  measure: () =>
    inHouse(bench, { workers: 1, env: { BATCH_AUTO_ENABLED: auto } }, async ({ url }): Promise<Figures> => {
      const load = { atOnce: 64, body: { a: 1, b: 2 } };
      await posts(`${url}/v1/jobs/add`, { ...load, count: 300 });
      // One by one they wait for the disk in turn.
      const count = (bench.asked.quick ? 500 : 2000) * (auto === 'true' ? 4 : 1);
      const { ms, times } = await posts(`${url}/v1/jobs/add`, { ...load, count });
      return { 'POST/s': (times.length / ms) * 1000, 'p50 ms': quantile(times, 0.5), 'p99 ms': quantile(times, 0.99) };
    }),
});

interface Lever {
  setting: string;
  /** In the order in which they are measured. */
  values: readonly string[];
  /** What is told of a value in the head of its column. */
  unit: string;
  handler: string;
  params: object;
  /** What else its workers are set to. */
  env: Record<string, string>;
  /** How long `auto` takes to find what fits, so many ms away. */
  autoMs: (ms: number) => number;
  /** What `auto` has set, in the setting's unit. */
  held: (worker: WorkerAnswer) => number;
  /** What the law asks for at this rate, in the setting's unit. */
  law: (house: House, itemsPerSecond: number) => number;
}

const byChunks = (bench: Bench): Lever => ({
  setting: 'WORKER_CHUNKS',
  values: bench.asked.quick ? ['auto', '4', '64'] : ['auto', '4', '16', '64', '256'],
  unit: 'chunks',
  handler: 'echo',
  params,
  env: {},
  // From 8 on, each second what was settled in it for as long as two round trips and a quarter of a second.
  autoMs: (ms) => 4000 + 60 * ms,
  held: ({ chunksInFlight }) => chunksInFlight,
  law: ({ workers }, rate) => chunksByTheLaw(workers[0]!.lines('window').slice(-lookWindows(bench)), rate),
});

const sleepMs = 1;

const byItems = (bench: Bench): Lever => ({
  setting: 'WORKER_CONCURRENCY',
  values: bench.asked.quick ? ['auto', '500'] : ['auto', '50', '200', '500', '1000'],
  unit: 'items',
  handler: 'sleep',
  params: { ms: sleepMs },
  // So that only this setting has to be found: enough for 200 ms.
  env: { WORKER_CHUNKS: '128' },
  // 100 at first, half as many again each second, and back again where that was too many, or seemed so.
  autoMs: () => 12_000,
  held: ({ concurrency }) => concurrency,
  law: (_, rate) => (rate * sleepMs) / 1000,
});

const lookMsOf = ({ asked }: Bench): number => (asked.quick ? 1000 : 1200);
/** What has to be warm before a worker with a fixed setting is looked at: its code, and all that is on its way. */
const setMs = (ms: number): number => 1500 + 25 * ms;
/** A worker says each second what it did. */
const lookWindows = (bench: Bench): number => Math.floor(lookMsOf(bench) / 1000);

/** A worker for each value in turn, all through a proxy, so that only the time differs; the producer stays with the servers. */
const away = (bench: Bench, ms: number, lever: Lever, mbitPerSecond = Infinity): Variant => ({
  label: mbitPerSecond === Infinity ? labelOf(ms) : `${labelOf(ms)}, ${mbitPerSecond} Mbit/s`,
  measure: () =>
    inHouse(bench, { workers: 0 }, async (house): Promise<Figures> => {
      const database = await delayed(house.databaseUrl, ms, mbitPerSecond);
      const redis = await delayed(bench.servers.redisUrl, ms, mbitPerSecond);
      const found: Found[] = [];
      try {
        for (const value of lever.values) {
          await house.addWorker({
            DATABASE_URL: database.url,
            REDIS_URL: redis.url,
            ...lever.env,
            [lever.setting]: value,
          });
          const times = { warmMs: value === 'auto' ? lever.autoMs(ms) : setMs(ms), lookMs: lookMsOf(bench) };
          const { rate, worker } = await steadyRate(house, { ...lever, ...times });
          found.push({ value, rate, held: lever.held(worker), law: lever.law(house, rate) });
          await house.dismiss();
        }
        return figuresOf(found, lever.unit);
      } finally {
        await house.dismiss();
        await Promise.all([database.stop(), redis.stop()]);
      }
    }),
});

interface Found {
  value: string;
  rate: number;
  held: number;
  law: number;
}

/** A column for each value; Little's law says how many the fastest of them needed. */
function figuresOf(found: readonly Found[], unit: string): Figures {
  const best = found.reduce((a, b) => (b.rate > a.rate ? b : a));
  const columns = found.map(({ value, rate }) => [`${value} ${value === 'auto' ? '' : unit}`.trim(), rate] as const);
  const byItself = found.find(({ value }) => value === 'auto')!;
  return {
    ...Object.fromEntries(columns),
    ...(found.length > 1 ? { 'auto ÷ best': byItself.rate / best.rate } : {}),
    [`auto has: ${unit}`]: byItself.held,
    [`the best needs: ${unit}`]: best.law,
  };
}

function verdictsOf(singles: readonly Measured[], chunks: readonly Measured[], items: readonly Measured[]): Verdict[] {
  const target = 'seed 4';
  const of = (rows: readonly Measured[], label: string, name: string): number =>
    median(rows.find((row) => row.label === label)!.runs.map((figures) => figures[name]!));
  const near = of(chunks, labelOf(0), 'auto');
  const far = of(chunks, labelOf(50), 'auto');
  const [on, off] = singles.map((row) => of(singles, row.label, 'POST/s'));
  const fits = (name: string, rows: readonly Measured[]): Verdict[] =>
    rows
      .filter(({ runs }) => 'auto ÷ best' in runs[0]!)
      .map(({ label }) =>
        factor(target, `${label}: ${name}=auto ≥ 0.9 × the best`, of(rows, label, 'auto ÷ best'), 0.9),
      );
  return [
    factor(target, 'single POSTs with auto-batching ≥ without', on! / off!, 1),
    factor(target, '50 ms costs ≤ 20 %', far / near, 0.8),
    { target, asks: '50 ms away ≥ 40 000 items/s', found: figure(far), ok: far >= 40_000 },
    ...fits('WORKER_CHUNKS', chunks),
    ...fits('WORKER_CONCURRENCY', items),
  ];
}
