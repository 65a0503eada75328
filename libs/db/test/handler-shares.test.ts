import { databaseForTest, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, it } from 'vitest';
import { accept, count, mark, rounds, serve } from './turns.ts';
import { acceptBatch, only } from './work.ts';

/** A database in which all batches of `echo` may start so many items in 2 s. */
async function limited(items: number, concurrency: number | null = null): Promise<TestDatabase> {
  const database = await databaseForTest();
  const rate = concurrency === null ? items / 2 : null;
  await database.statements.limitHandler({ handler: 'echo', rate, perMs: rate === null ? null : 1000, concurrency });
  return database;
}

describe('of a limited handler batches', () => {
  it('have no more in flight together than it may start in 2 s, a chunk at least, and slots count by their cost', async () => {
    const database = await limited(40);
    for (let n = 0; n < 10; n += 1) await accept(database, 10);
    const marked = await mark(database, 20);
    expect(marked).toHaveLength(4);
    expect(await mark(database, 20)).toEqual([]);
    await serve(database, marked.slice(0, 1));
    expect(await mark(database, 20)).toHaveLength(1);
    const dear = await limited(40);
    for (let n = 0; n < 10; n += 1) await accept(dear, 10, { rateLimit: { limit: 1_000_000, perMs: 1000, cost: 2 } });
    expect(await mark(dear, 20)).toHaveLength(2);
    const slow = await limited(2);
    for (let n = 0; n < 3; n += 1) await accept(slow, 10);
    expect(await mark(slow, 20)).toHaveLength(1);
  });

  it('have twice its concurrency in flight together, and two chunks', async () => {
    const database = await limited(0, 10);
    for (let n = 0; n < 10; n += 1) await accept(database, 10);
    expect(await mark(database, 20)).toHaveLength(4);
    expect(await mark(database, 20)).toEqual([]);
  });

  it('have a turn though others have chunks that are much larger', async () => {
    const database = await limited(0, 6);
    await acceptBatch(database, { total: 4000, size: 400 });
    expect(await mark(database, 40)).toHaveLength(3);
    const small = await accept(database, 30);
    // Nothing has ended yet.
    expect(await mark(database, 40)).toEqual([]);
    await database.db.execute(sql`
      update chunks set state = 'done' where no = (select min(no) from chunks where state = 'queued')`);
    expect(count(await mark(database, 40), small)).toBeGreaterThan(0);
  });

  it.each(['alone', 'beside one that is served much faster'])('are served by their weights, %s', async (beside) => {
    const database = await limited(40);
    const [one, three] = [await accept(database, 200), await accept(database, 200, { weight: 3 })];
    if (beside !== 'alone') await accept(database, 5000, {}, { handler: 'other' });
    await rounds(database, 3, 40);
    const marked = await rounds(database, 20, 40);
    expect(count(marked, one) + count(marked, three)).toBe(80);
    expect(Math.abs(count(marked, one) - 20)).toBeLessThanOrEqual(1);
  });

  it.each(['comes', 'was paused'])('that %s neither waits nor catches up', async (how) => {
    const database = await limited(40);
    await accept(database, 5000, {}, { handler: 'other' });
    const [first, second] = [await accept(database, 300), how === 'comes' ? 0 : await accept(database, 300)];
    if (second > 0) await database.statements.pause(second);
    await rounds(database, 20, 40);
    const now = second > 0 ? second : await accept(database, 300);
    await database.statements.resume(now);
    const marked = await rounds(database, 10, 40);
    expect(count(marked, now)).toBeGreaterThanOrEqual(19);
    expect(Math.abs(count(marked, first) - count(marked, now))).toBeLessThanOrEqual(2);
  });

  it('wait for those of a better priority, also one that got it later', async () => {
    const database = await limited(40);
    const [first, later] = [await accept(database, 300), await accept(database, 300, { priority: 1 })];
    expect(count(await rounds(database, 5, 40), first)).toBe(20);
    await database.statements.change({ batch: later, options: { priority: 0 } });
    expect(count(await rounds(database, 5, 40), later)).toBeGreaterThanOrEqual(9);
  });

  it('begin together when it is limited anew, whatever they had before', async () => {
    const database = await limited(40);
    const first = await accept(database, 300);
    await rounds(database, 20, 40);
    await database.statements.limitHandler({ handler: 'echo', rate: null, perMs: null, concurrency: null });
    await database.statements.limitHandler({ handler: 'echo', rate: 20, perMs: 1000, concurrency: null });
    await accept(database, 300);
    expect(count(await rounds(database, 5, 40), first)).toBe(10);
  });

  it('are not held to a limit that others have', async () => {
    const database = await limited(40);
    const free = await accept(database, 30, {}, { handler: 'other' });
    for (let n = 0; n < 20; n += 1) await accept(database, 10);
    const marked = await mark(database, 34);
    expect(count(marked, free)).toBe(30);
    const { pass } = await only<{ pass: number | null }>(
      database,
      sql`select handler_pass as pass from batches where no = ${free}`,
    );
    expect(pass).toBeNull();
  });
});
