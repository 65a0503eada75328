import { randomUUID } from 'node:crypto';
import { batchLimit } from '@bullpen/db';
import { databaseForTest, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { join } from './work.ts';

const name = batchLimit(1);
const workers = Array.from({ length: 5 }, () => randomUUID()).sort();
const limit = ({ db }: TestDatabase, concurrency: number): Promise<unknown> =>
  db.execute(sql`insert into limits (name, concurrency) values (${name}, ${concurrency})
    on conflict (name) do update set concurrency = excluded.concurrency`);

/** A worker tells what it wants and uses; what it may use. */
async function share({ statements }: TestDatabase, worker: number, wanted: number, used = 0): Promise<number | null> {
  const [shared] = await statements.sharePermits({
    worker: workers[worker]!,
    leaseMs: 5000,
    asked: [{ name, wanted, used }],
  });
  return shared!.count;
}

describe('permits', () => {
  it('are shared evenly among those that want them, once what is too much has come back', async () => {
    const database = await databaseForTest();
    await limit(database, 10);
    expect(await share(database, 0, 100)).toBe(10);
    // It has ten at work: the second waits.
    expect(await share(database, 1, 100)).toBe(0);
    expect(await share(database, 0, 100, 10)).toBe(5);
    expect(await share(database, 1, 100)).toBe(0);
    expect(await share(database, 0, 100, 6)).toBe(5);
    expect(await share(database, 1, 100)).toBe(4);
    expect(await share(database, 0, 100, 5)).toBe(5);
    expect(await share(database, 1, 100, 4)).toBe(5);
    expect(await share(database, 2, 1)).toBe(0);
    expect(await share(database, 0, 100, 5)).toBe(5);
    expect(await share(database, 1, 100, 4)).toBe(4);
    expect(await share(database, 2, 1)).toBe(1);
    expect(await share(database, 0, 2, 2)).toBe(2);
    expect(await share(database, 1, 100, 4)).toBe(7);
  });

  it('stay where they are when they do not divide, and go on when they are not wanted any more', async () => {
    const database = await databaseForTest();
    await limit(database, 1);
    for (let times = 0; times < 3; times += 1)
      for (const worker of [0, 1, 2]) expect(await share(database, worker, 50)).toBe(worker === 0 ? 1 : 0);
    expect(await share(database, 0, 0)).toBe(0);
    expect(await share(database, 1, 50)).toBe(1);
    expect(await share(database, 2, 50)).toBe(0);
  });

  it('of a worker that is gone are free after a lease', async () => {
    const database = await databaseForTest();
    await limit(database, 3);
    expect(await share(database, 0, 3, 3)).toBe(3);
    expect(await share(database, 1, 3)).toBe(0);
    await database.db.execute(sql`update permits set seen = seen - interval '6 seconds' where worker = ${workers[0]!}`);
    expect(await share(database, 1, 3)).toBe(3);
  });

  it('of a worker that is busy in a handler are not free as long as its watchdog says so', async () => {
    const database = await databaseForTest();
    const worker = workers[0]!;
    await join(database, worker);
    await limit(database, 3);
    await share(database, 0, 3, 3);
    await database.db.execute(sql`update permits set seen = seen - interval '6 seconds'`);
    await database.statements.stay({ worker, leaseMs: 5000 });
    expect(await share(database, 1, 3)).toBe(0);
  });

  it('of a limit that is gone are any number', async () => {
    const database = await databaseForTest();
    await limit(database, 3);
    await share(database, 0, 3);
    await database.db.execute(sql`delete from limits`);
    expect(await share(database, 0, 3)).toBeNull();
    expect(await database.db.execute(sql`select 1 from permits`)).toHaveLength(0);
  });

  it('never sum to more than the limit, whoever comes, goes, starts and ends, and while it is changed', async () => {
    const database = await databaseForTest();
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ worker: fc.nat(4), wants: fc.nat(12), ends: fc.nat(4) }) },
      { weight: 1, arbitrary: fc.record({ limit: fc.integer({ min: 1, max: 12 }) }) },
    );
    const property = fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
      await database.db.execute(sql`delete from permits`);
      let most = 6;
      /** What ran when the limit was lowered may go on. */
      let over = 0;
      await limit(database, most);
      const used = workers.map(() => 0);
      const may = workers.map(() => 0);
      const inUse = (): number => used.reduce((a, b) => a + b, 0);
      for (const each of steps) {
        if ('limit' in each) {
          most = each.limit;
          await limit(database, most);
          over = inUse();
          continue;
        }
        const { worker, wants, ends } = each;
        used[worker] = Math.max(0, used[worker]! - ends);
        may[worker] = (await share(database, worker, Math.max(wants, used[worker]), used[worker]))!;
        // It starts all that it may; before its next word it may go on at that.
        if (wants > 0) used[worker] = Math.max(used[worker], Math.min(wants, may[worker]));
        over = Math.min(over, inUse());
        expect(inUse()).toBeLessThanOrEqual(Math.max(most, over));
      }
    });
    await fc.assert(property, { numRuns: 15 });
  });

  it('sum to all of the limit when all who want them have said so a few times', async () => {
    const database = await databaseForTest();
    const wishes = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 2, maxLength: 5 });
    const property = fc.asyncProperty(fc.integer({ min: 1, max: 30 }), wishes, async (most, wanted) => {
      await database.db.execute(sql`delete from permits`);
      await limit(database, most);
      const counts: number[] = [];
      for (let round = 0; round < 3; round += 1)
        for (const [worker, wish] of wanted.entries()) counts[worker] = (await share(database, worker, wish))!;
      const sum = (all: number[]): number => all.reduce((a, b) => a + b, 0);
      expect(sum(counts)).toBe(Math.min(most, sum(wanted)));
      const least = Math.floor(most / wanted.length);
      for (const [worker, wish] of wanted.entries())
        expect(counts[worker]).toBeGreaterThanOrEqual(Math.min(wish, least));
    });
    await fc.assert(property, { numRuns: 15 });
  });
});

describe('workers that ask at once', () => {
  it('get no more together than the limit', async () => {
    const database = await databaseForTest();
    await limit(database, 3);
    for (let round = 0; round < 20; round += 1) {
      const counts = await Promise.all(workers.map((_, worker) => share(database, worker, 5)));
      const all = await Promise.all(workers.map((_, worker) => share(database, worker, 0)));
      expect(counts.reduce<number>((sum, count) => sum + count!, 0)).toBeLessThanOrEqual(3);
      expect(all).toEqual([0, 0, 0, 0, 0]);
    }
  });
});
