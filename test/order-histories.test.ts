import { checkLedger, createAttempts, createDatabase, startHouse } from '@bullpen/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Judged, judge } from './support/histories/judge.ts';
import { type History, historyOf } from './support/histories/plan.ts';
import { play, type Played, type Stage } from './support/histories/play.ts';
import { createStaff } from './support/histories/staff.ts';
import { startWatch } from './support/histories/watch.ts';

/** `npm run test:order -- --histories N --seed S --break …`. The first history has this seed, each that follows the next one. */
const count = Number(process.env['ORDER_HISTORIES'] || 4);
const seed = Number(process.env['ORDER_SEED'] || Date.now() % 1_000_000_000);
const broken = process.env['ORDER_BREAK'] || 'nothing';
/** So many are played at once, in one house. */
const atOnce = 4;

let stage: Stage;

beforeAll(async () => {
  // On the server of the run, which no history kills. On that of the house its commits made durable all that was written before them.
  const witness = await createDatabase();
  const house = await startHouse({
    workers: 4,
    partitions: 6,
    ownServers: true,
    env: {
      HANDLERS: 'libs/handlers/src,libs/testkit/handlers',
      WORKER_CONCURRENCY: '40',
      DATABASE_POOL_MAX: '6',
      WITNESS_URL: witness.url,
      ...(broken === 'nothing' ? {} : { TEST_BREAK_ORDER: broken }),
    },
  });
  await createAttempts(house.database, witness);
  stage = { house, staff: createStaff(house), witness };
});
afterAll(async () => {
  await stage.house.stop();
  await stage.witness.drop();
});

interface Outcome {
  played: Played;
  judged: Judged;
}

/** Plays some histories at once, and judges each of them. */
async function playAll(
  histories: readonly History[],
): Promise<{ outcomes: Outcome[]; reads: number; faults: string[] }> {
  const watch = startWatch(stage.house);
  const played = await Promise.all(histories.map((history) => play(stage, history, watch.add))).catch(
    async (error: unknown) => {
      await watch.stop();
      throw error;
    },
  );
  const { reads, faults } = await watch.stop();
  const outcomes: Outcome[] = [];
  for (const each of played) outcomes.push({ played: each, judged: await judge(stage, each) });
  return { outcomes, reads, faults: [...faults, ...(await checkLedger(stage.house.database))] };
}

const redOf = ({ outcomes, faults }: { outcomes: readonly Outcome[]; faults: readonly string[] }): string[] => [
  ...outcomes
    .filter(({ judged }) => judged.faults.length > 0)
    .flatMap(({ played: { history, done }, judged }) => [
      `history ${history.seed}: npm run test:order -- --histories 1 --seed ${history.seed}`,
      JSON.stringify({ history, done }),
      ...judged.faults.slice(0, 10),
    ]),
  ...faults.slice(0, 10),
];

it(
  `groups stay in order in ${count} histories from seed ${seed} on, with ${broken} left out`,
  async () => {
    const sum = { items: 0, runs: 0, cut: 0, lost: 0, taken: 0, reads: 0, histories: 0, withTaken: 0 };
    const faults = new Map<string, number>();
    for (let at = 0; at < count; at += atOnce) {
      const startedAt = performance.now();
      const histories = Array.from({ length: Math.min(atOnce, count - at) }, (_, n) => historyOf(seed + at + n));
      const all = await playAll(histories);
      for (const { played, judged } of all.outcomes) {
        for (const kind of played.done) faults.set(kind, (faults.get(kind) ?? 0) + 1);
        for (const name of ['items', 'runs', 'cut', 'lost', 'taken'] as const) sum[name] += judged[name];
        sum.histories += 1;
        if (judged.taken > 0) sum.withTaken += 1;
      }
      sum.reads += all.reads;
      console.log(`${Math.round(performance.now() - startedAt)} ms, so far: ${JSON.stringify(sum)}`);
      expect(redOf(all).join('\n')).toBe('');
    }
    console.log(`${JSON.stringify(sum)} ${JSON.stringify(Object.fromEntries(faults))}`);
  },
  60_000 + count * 60_000,
);
