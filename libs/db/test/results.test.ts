import { randomUUID } from 'node:crypto';
import { createStatements, openDatabase } from '@bullpen/db';
import { databaseForTest, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, it, onTestFinished } from 'vitest';

async function accept({ statements }: TestDatabase, total: number): Promise<{ no: number; id: string }> {
  const id = randomUUID();
  const no = await statements.acceptCount(
    { id, name: null, handler: 'echo', total, params: null, options: '{}' },
    1000,
  );
  return { no, id };
}

/** Results 0 to 9, of which those from 5 on have outputs of a kilobyte. */
const putResults = (database: TestDatabase, no: number): PromiseLike<unknown> =>
  database.db.execute(sql`
    insert into results (batch, index, finished_at, status, attempt, output)
    select ${no}::int, i, now(), 1, 1, to_json(repeat('x', case when i < 5 then 8 else 1022 end)) from generate_series(0, 9) i`);

describe('results', () => {
  it('end after the one that makes them more than so many bytes, and one always comes', async () => {
    const database = await databaseForTest();
    const { no } = await accept(database, 10);
    await putResults(database, no);
    const read = async (after: number, maxBytes: number, limit = 100): Promise<number[]> =>
      (await database.statements.results({ batch: no, status: 'all', after, limit, maxBytes })).map(
        ({ index }) => index,
      );
    expect(await read(-1, 1e6)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await read(-1, 51)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await read(4, 2048)).toEqual([5, 6]);
    expect(await read(4, 2049)).toEqual([5, 6, 7]);
    expect(await read(6, 1)).toEqual([7]);
    expect(await read(6, 1e6, 2)).toEqual([7, 8]);
    expect(await read(9, 1e6)).toEqual([]);
  });
});

describe('inputs', () => {
  it('are the row that starts at or before an item', async () => {
    const database = await databaseForTest();
    const id = randomUUID();
    const batch = { id, name: null, handler: 'echo', total: 5, params: null, options: '{}' };
    const no = await database.statements.acceptInputs(batch, [
      { first: 0, size: 3, items: '[1,2,3]' },
      { first: 3, size: 2, items: '[4,5]' },
    ]);
    const read = (index: number) => database.statements.inputs({ batch: no, index });
    expect(await Promise.all([0, 2, 3, 4].map(read))).toEqual([
      { first: 0, indexes: null, items: '[1,2,3]' },
      { first: 0, indexes: null, items: '[1,2,3]' },
      { first: 3, indexes: null, items: '[4,5]' },
      { first: 3, indexes: null, items: '[4,5]' },
    ]);
    expect(await database.statements.inputs({ batch: (await accept(database, 3)).no, index: 0 })).toBeNull();
  });
});

describe('progress', () => {
  it('is that of all batches that were asked for, without those that do not exist', async () => {
    const database = await databaseForTest();
    const [one, two] = [await accept(database, 10), await accept(database, 20)];
    await database.statements.pause(two.no);
    const rows = await database.statements.progress([one.id, randomUUID(), two.id]);
    expect(rows.toSorted((a, b) => a.total - b.total)).toMatchObject([
      { id: one.id, state: 'running', reason: null, total: 10, succeeded: 0, failed: 0, running: 0 },
      { id: two.id, state: 'paused', reason: 'user', total: 20 },
    ]);
    expect(await database.statements.progress([])).toEqual([]);
  });
});

describe('the outcome of one item', () => {
  it('is open whatever state its chunk is in, until it is done', async () => {
    const database = await databaseForTest();
    const { no } = await accept(database, 10);
    const outcome = (index: number) => database.statements.outcome({ batch: no, index });
    const become = (change: string): PromiseLike<unknown> =>
      database.db.execute(sql`update chunks set ${sql.raw(change)} where batch = ${no}`);
    for (const change of [
      `state = 'pending'`,
      `state = 'pending', not_before = now()`,
      `state = 'queued', partition = 0, not_before = null`,
      `state = 'running'`,
    ]) {
      await become(change);
      expect(await outcome(9), change).toEqual({ row: null, open: true, gone: false });
      await become(`picks = '{2,9}'`);
      expect([(await outcome(9)).open, (await outcome(5)).open], change).toEqual([true, false]);
      await become('picks = null');
    }
    await become(`state = 'done'`);
    expect(await outcome(9)).toEqual({ row: null, open: false, gone: false });
  });

  it('is found among 100 000 chunks that are done without reading them', async () => {
    const database = await databaseForTest();
    const { no } = await accept(database, 10);
    await database.db.execute(sql`
      insert into chunks (batch, first, size, state) select ${no}::int, i * 10, 10, 'done' from generate_series(1, 100000) i`);
    await database.db.execute(sql`analyze chunks`);
    // One connection, so that what is prepared on it can be looked up.
    const alone = openDatabase({ url: database.url, max: 1, name: 'test', durable: true });
    onTestFinished(() => alone.close());
    await createStatements(alone.db, { reconnectMs: 1000 }).outcome({ batch: no, index: 500_000 });
    const [{ statement }] = (await alone.db.execute(
      sql`select statement from pg_prepared_statements where statement like '%c.picks%'`,
    )) as unknown as [{ statement: string }];
    const numbers = statement.replaceAll(/\$\d+::int/g, '500000').replaceAll(/\$\d+/g, '500000');
    const plan = (await alone.db.execute(sql.raw(`explain (analyze, buffers) ${numbers}`))) as unknown as {
      'QUERY PLAN': string;
    }[];
    const text = plan.map((row) => row['QUERY PLAN']).join('\n');
    expect(text).not.toContain('Seq Scan on chunks');
    expect(text).toContain('chunks_pending');
    // 100 000 chunks fill more than a thousand pages.
    expect(Number(/shared hit=(\d+)/.exec(text)![1])).toBeLessThan(50);
  });
});
