import { setTimeout as sleep } from 'node:timers/promises';
import { createDatabase, createDice, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { control, publish, work, type World } from './chaos/actors.ts';

const playMs = 7000;

let database: TestDatabase;
beforeAll(async () => void (database = await createDatabase()));
afterAll(() => database.drop());

const query = async <Row>(text: string): Promise<Row[]> =>
  (await database.db.execute(sql.raw(text))) as unknown as Row[];

/** At every read: the counts sum up, and the row of the batch agrees with its results. */
async function read(world: World, wrong: string[]): Promise<number> {
  let reads = 0;
  while (!world.stopped) {
    const batch = world.batches[world.dice.below(Math.max(1, world.batches.length))];
    await sleep(1);
    if (batch === undefined) continue;
    const [row] = await query<Record<string, number>>(`
      select b.total::int, b.succeeded::int, b.failed::int,
        (select coalesce(sum(size), 0) from chunks c where c.batch = b.no and c.state = 'running')::int as running,
        (select coalesce(sum(size), 0) from chunks c where c.batch = b.no and c.state in ('pending', 'queued'))::int as waiting,
        (select count(*) from results r where r.batch = b.no and r.status = 1)::int as good,
        (select count(*) from results r where r.batch = b.no and r.status = 2)::int as bad
      from batches b where no = ${batch.no}`);
    const { total, succeeded, failed, running, waiting, good, bad } = row!;
    if (succeeded! + failed! + running! + waiting! !== total) wrong.push(`sum of ${batch.no}: ${JSON.stringify(row)}`);
    if (good !== succeeded || bad !== failed) wrong.push(`results of ${batch.no}: ${JSON.stringify(row)}`);
    reads += 1;
  }
  return reads;
}

describe('the core statements under chaos', () => {
  it('keep every sum, lose and double nothing, and get every batch to its end', async () => {
    const seed = Number(process.env['FAULTS_SEED'] || Date.now() % 1_000_000);
    const world: World = {
      statements: database.statements,
      dice: createDice(seed),
      jobs: [],
      batches: [],
      seen: {
        marked: 0,
        claims: 0,
        flushes: 0,
        fenced: 0,
        kills: 0,
        lostReplies: 0,
        orphans: 0,
        controls: 0,
        settledTwice: 0,
      },
      stopped: false,
    };
    const wrong: string[] = [];
    const workers = Array.from({ length: 8 }, (_, i) => work(world, i === 0));
    const actors = [publish(world), publish(world), ...workers, control(world, performance.now() + playMs)];
    const reading = read(world, wrong);
    await Promise.race([sleep(playMs), Promise.all(actors)]);

    const stillOpen = async (): Promise<number> => {
      for (const { no } of world.batches) await world.statements.resume(no);
      return (await query<{ n: number }>(`select count(*)::int as n from batches where state = 'running'`))[0]!.n;
    };
    for (let tries = 0; tries < 150 && (await stillOpen()) > 0; tries += 1) await sleep(100);
    const stuck = await stillOpen();
    world.stopped = true;
    await Promise.all(actors);
    const reads = await reading;

    console.log(`seed ${seed}, ${reads} reads, ${JSON.stringify(world.seen)}`);
    expect(wrong).toEqual([]);
    expect(stuck).toBe(0);
    expect(world.seen.settledTwice).toBe(0);
    expect(world.seen.fenced).toBeGreaterThan(0);
    // Every index of a completed batch exactly once, and none out of range.
    const bad = await query(`
      select b.no from batches b left join results r on r.batch = b.no
      group by b.no having (b.state = 'completed' and count(r.index) <> b.total) or max(r.index) >= b.total or min(r.index) < 0`);
    expect([...bad]).toEqual([]);
  });
});
