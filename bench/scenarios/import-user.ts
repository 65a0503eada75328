import { type House, settled } from '../kit/house.ts';
import { inHouse, workersText } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import { startMockApi } from '../kit/mock-api.ts';
import type { Bench, Figures, Measured, Report, Scenario, Variant, Verdict } from '../kit/scenario.ts';
import { figure, median } from '../kit/stats.ts';
import { factor } from '../kit/verdicts.ts';

const scenario: Scenario = {
  name: 'import-user',
  title: 'Users of a CSV, dry and against an API that counts, by the number of workers',
  targets: [],
  takes: [],
  isSeed: true,
  run,
};
export default scenario;

const handler = 'import-user';
const limit = 50;
const latencyMs = 200;
const callsAUser = 2;
/** What the seed measured dry: 100 users in chunks of 10; and what its processes took. */
const seed: Record<number, { perSecond: number; seconds: number; mb: number }> = {
  1: { perSecond: 110.1, seconds: 0.908, mb: 150 },
  2: { perSecond: 48.4, seconds: 2.066, mb: 270 },
  4: { perSecond: 42.3, seconds: 2.362, mb: 480 },
  8: { perSecond: 45.8, seconds: 2.183, mb: 900 },
};

async function run(bench: Bench): Promise<Report> {
  const { quick } = bench.asked;
  const counts = quick ? [1, 4] : [1, 2, 4, 8];
  const large = quick ? 20_000 : 100_000;
  const dry = async (users: number, chunkSize?: number): Promise<Measured[]> =>
    compared(await interleave(bench, counts.map((workers) => dryRun(bench, workers, { users, chunkSize })))); // prettier-ignore
  const small = await dry(100, 10);
  const many = await dry(large);
  const real = compared(
    await interleave(bench, [
      ...counts.map((workers) => against(bench, workers)),
      ...(quick ? [] : [against(bench, 4, limit - 1)]),
    ]),
  );
  const grouped = figure(large);
  return {
    tables: [
      { title: 'Dry: 100 users in chunks of 10', rows: small.map((row, at) => told(row, seedDry(counts[at]!))) },
      { title: `Dry: ${grouped} users`, rows: many.map((row, at) => told(row, `${seed[counts[at]!]!.mb} MB in all`)) },
      {
        title: `Against an API that takes ${latencyMs} ms a call and ${limit} calls a second`,
        rows: real.map((row) => told(row, `${limit / callsAUser} users/s at most`)),
      },
    ],
    verdicts: [
      ...small.map((row, at) => dryVerdict(row, counts[at]!)),
      factor(
        'seed 3',
        `${grouped} users dry, 1 → 4 workers (0.38 × of the seed's 100)`,
        ratio(many, '4 workers'),
        null,
      ),
      ...real.flatMap((row) => realVerdicts(row, quick)),
    ],
    remarks: [
      'MB: the largest resident memory of a worker; in all: of producer and workers. ms to claim: from the spawn of all workers to the first claim.',
    ],
  };
}

const usersOf = (count: number): object[] =>
  Array.from({ length: count }, (_, at) => ({
    email: `user${at}@example.org`,
    name: `User ${at}`,
    organisation: `Organisation ${at % 20}`,
  }));

const dryRun = (bench: Bench, workers: number, work: { users: number; chunkSize: number | undefined }): Variant => ({
  label: workersText(workers),
  measure: () =>
    inHouse(bench, { workers: 0 }, async (house) => {
      const params = { api: 'http://127.0.0.1:9' };
      const claimMs = await staff(house, workers, params);
      const options = { dryRun: true, chunkSize: work.chunkSize };
      const ran = await house.run({ handler, inputs: usersOf(work.users), params, options });
      return { 'users/s': ran.itemsPerSecond, s: ran.seconds, ...memoryOf(ran.usage), 'ms to claim': claimMs };
    }),
});

/** Adds workers while users wait for them, and warms them up. Answers the ms from their spawn to the first claim of a chunk. */
async function staff({ client, addWorker, sql }: House, workers: number, params: { api: string }): Promise<number> {
  const options = { dryRun: true, chunkSize: 10 };
  const { id } = await client.submit({ handler, inputs: usersOf(1000 * workers), params, options });
  const spawnedAt = Date.now();
  await Promise.all(Array.from({ length: workers }, () => addWorker()));
  await client.getBatch(id, { waitSeconds: 60 });
  await settled(client, workers);
  const [first] = await sql<{ ms: number }[]>`
    select (extract(epoch from min(claimed_at)) * 1000)::float8 - ${spawnedAt}::float8 as ms from chunks
    where batch = (select no from batches where id = ${id})`;
  return Math.round(first!.ms);
}

/** `told`: what the batch is told that the API takes. */
const against = (bench: Bench, workers: number, told = limit): Variant => ({
  label: told === limit ? workersText(workers) : `${workersText(workers)}, told ${told}/s`,
  measure: () =>
    inHouse(bench, { workers }, async (house) => {
      const api = await startMockApi({ rate: limit, latencyMs });
      try {
        const inputs = usersOf(bench.asked.quick ? 120 : 500);
        const options = { rateLimit: { limit: told, perMs: 1000, cost: 1 } };
        const ran = await house.run({ handler, inputs, params: { api: api.url }, options });
        const seen = await api.register();
        return {
          'users/s': ran.itemsPerSecond,
          s: ran.seconds,
          ...memoryOf(ran.usage),
          '× limit': (seen.calls - seen.refused - 1) / seen.seconds / limit,
          'most in 1 s': seen.mostInASecond,
          refused: seen.refused,
          doubled: seen.doubled,
        };
      } finally {
        await api.stop();
      }
    }),
});

function memoryOf(usage: Record<string, { rssMb: number }>): Figures {
  const of = (name: string): number[] =>
    Object.entries(usage).flatMap(([who, { rssMb }]) => (who.startsWith(name) ? [rssMb] : []));
  const [workers, producer] = [of('worker'), of('producer')];
  return {
    'MB a worker': Math.max(...workers),
    'MB in all': [...workers, ...producer].reduce((sum, mb) => sum + mb, 0),
  };
}

const rateOf = ({ runs }: Measured): number => median(runs.map((figures) => figures['users/s']!));

/** With speed-up and efficiency: against the first row, which has one worker. */
const compared = (rows: readonly Measured[]): Measured[] =>
  rows.map(({ label, runs }) => ({
    label,
    runs: runs.map(({ 'users/s': rate, ...others }) => {
      const speedUp = rate! / rateOf(rows[0]!);
      return {
        'users/s': rate!,
        '× of 1': speedUp,
        'efficiency %': (100 * speedUp) / Number.parseInt(label, 10),
        ...others,
      };
    }),
  }));

const told = (row: Measured, words: string): Measured => ({ ...row, words: { 'the seed': words } });

function seedDry(workers: number): string {
  const { perSecond, seconds, mb } = seed[workers]!;
  const speedUp = perSecond / seed[1]!.perSecond;
  return `${perSecond} users/s, ${seconds} s, ${speedUp.toFixed(2)} ×, ${Math.round((100 * speedUp) / workers)} %, ${mb} MB`;
}

const ratio = (rows: readonly Measured[], label: string): number =>
  rateOf(rows.find((row) => row.label === label)!) / rateOf(rows[0]!);

const dryVerdict = (row: Measured, workers: number): Verdict =>
  factor('seed 3', `100 users dry, ${row.label}: faster than the seed`, rateOf(row) / seed[workers]!.perSecond, 1);

/** Of a short run the first and the last second are too large a part to judge how much of the limit was used. */
function realVerdicts({ label, runs }: Measured, isShort: boolean): Verdict[] {
  const most = Math.max(...runs.map((figures) => figures['most in 1 s']!));
  const doubled = Math.max(...runs.map((figures) => figures['doubled']!));
  const asks = `${label}: at most ${limit} + 1 calls in any second, no user doubled`;
  return [
    { target: 'seed 3', asks, found: `${most}, ${doubled}`, ok: most <= limit + 1 && doubled === 0 },
    factor(
      'seed 3',
      `${label}: ≥ 0.9 × the limit`,
      median(runs.map((figures) => figures['× limit']!)),
      isShort ? null : 0.9,
    ),
  ];
}
