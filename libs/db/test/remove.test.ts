import { randomUUID } from 'node:crypto';
import { openDatabase } from '@bullpen/db';
import { databaseForTest, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { cleanAll } from './clean.ts';
import { acceptBatch, claimSome, finish, only, runAll } from './work.ts';

let database: TestDatabase;
beforeEach(async () => void (database = await databaseForTest()));

/** Rows of each table that are there of a number. */
const rowsOf = (no: number): Promise<Record<string, number>> =>
  only(
    database,
    sql`select (select count(*)::int from results where batch = ${no}) as results, (select count(*)::int from inputs where batch = ${no}) as inputs,
      (select count(*)::int from chunks where batch = ${no}) as chunks, (select count(*)::int from partials where batch = ${no}) as partials,
      (select count(*)::int from summaries where batch = ${no}) as summaries, (select count(*)::int from garbage where no = ${no}) as garbage`,
  );
const nothing = { results: 0, inputs: 0, chunks: 0, partials: 0, summaries: 0, garbage: 0 };
/** Ends of the ranges that have tables, of both parents, as the catalog says. */
async function tables(parent: 'results' | 'inputs'): Promise<number[]> {
  const { ends } = await only<{ ends: number[] }>(
    database,
    sql`select json_agg(substring(c.relname from '[0-9]+$')::int order by 1) as ends from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = ${parent}::regclass`,
  );
  return ends.sort((a, b) => a - b);
}
/** A session of its own, in a transaction that the test ends. */
async function session(...statements: string[]): Promise<{ run: (text: string) => Promise<unknown> }> {
  const { db, close } = openDatabase({ url: database.url, max: 1, name: 'other', durable: true });
  onTestFinished(close);
  const run = (text: string): Promise<unknown> => db.execute(sql.raw(text));
  for (const text of ['begin', ...statements]) await run(text);
  return { run };
}

describe('a batch that is removed', () => {
  it('has ended, is seen by nobody, and leaves no row', async () => {
    const { statements } = database;
    const { id, no } = await acceptBatch(database, { total: 20, size: 10, inputs: true, key: 'mine' });
    const kept = await acceptBatch(database, { total: 10, size: 10, inputs: true });
    expect(await statements.remove(id)).toBe(false);
    await runAll(database, { partial: '1' });
    const found = await statements.unfolded({ handlers: ['echo'], batch: no });
    await statements.fold({ batch: no, version: 0, nos: found!.nos.slice(0, 1), folded: '1' });
    expect(await rowsOf(no)).toEqual({ results: 20, inputs: 2, chunks: 2, partials: 1, summaries: 1, garbage: 0 });

    expect(await statements.remove(id)).toBe(true);
    expect(await statements.remove(id)).toBe(false);
    expect([await statements.counts(id), await statements.plan(no), await statements.reduced(id)]).toEqual([
      null,
      null,
      null,
    ]);
    expect((await statements.batches({ owner: '', kind: 'batch', limit: 10 })).map((row) => row.id)).toEqual([kept.id]);
    await cleanAll(database);
    expect(await rowsOf(no)).toEqual(nothing);
    expect(await rowsOf(kept.no)).toMatchObject({ results: 10, inputs: 1, chunks: 1 });
    const again = { id: randomUUID(), name: null, handler: 'echo', total: 1, params: null, options: '{}' };
    expect(await statements.acceptCount({ ...again, key: { key: 'mine', hash: 'other' } }, 1)).toBeGreaterThan(no);
  });

  it('may be in hands and queues still, after a cancel: what comes late changes nothing', async () => {
    const { statements } = database;
    const { id, no } = await acceptBatch(database, { total: 40, size: 10 });
    const held = await claimSome(database, { n: 2 });
    expect(await statements.mark({ handlers: ['echo'], slots: [0], itemsMax: 1000 })).toHaveLength(1);
    await statements.cancel(no);
    expect(await statements.remove(id)).toBe(true);
    expect((await rowsOf(no))['chunks']).toBe(1);
    expect(await finish(database, held)).toEqual([]);
    expect(await statements.queued({ ageMs: 0 })).toEqual([]);
    await cleanAll(database);
    expect(await rowsOf(no)).toEqual(nothing);
  });

  it('is not one that runs, is paused, or takes single items', async () => {
    const { statements } = database;
    const { id, no } = await acceptBatch(database, { total: 10, size: 10 });
    await statements.pause(no);
    expect(await statements.remove(id)).toBe(false);
    const rolling = await statements.rollJobs({ owner: '', handler: 'echo', id: randomUUID(), options: '{}' });
    await database.db.execute(sql`update batches set state = 'cancelled' where id = ${rolling}::uuid`);
    expect(await statements.remove(rolling)).toBe(false);
    await database.db.execute(sql`update batches set sealed = true where id = ${rolling}::uuid`);
    expect(await statements.remove(rolling)).toBe(true);
  });

  it('is cleared by the sweep that finds nothing, since what is deleted now may have made more', async () => {
    const { statements } = database;
    const { id, no } = await acceptBatch(database, { total: 6000, size: 1 });
    await statements.cancel(no);
    await statements.remove(id);
    const cleared = async (): Promise<boolean> =>
      (await only<{ cleared: boolean }>(database, sql`select cleared from garbage where no = ${no}`)).cleared;
    for (const rows of [5000, 1000, 0]) {
      expect(await cleared()).toBe(false);
      expect(await statements.sweep({ no, rows: false })).toBe(rows);
    }
    expect(await cleared()).toBe(true);
  });

  it('is not one that a retry sets running at the same time', async () => {
    const { statements } = database;
    for (let round = 0; round < 10; round += 1) {
      const { id, no } = await acceptBatch(database, { total: 10, size: 10 });
      await runAll(database, { fail: true });
      const [removed, retried] = await Promise.all([statements.remove(id), statements.retry(no)]);
      expect([removed, retried > 0].filter(Boolean)).toHaveLength(1);
      expect((await statements.counts(id))?.state).toBe(removed ? undefined : 'running');
      await statements.cancel(no);
    }
  });
});

describe('the retention', () => {
  it('takes what ended so many days ago, and leaves its rows to the range for a day', async () => {
    const { statements } = database;
    const [old, young, running] = [
      await acceptBatch(database),
      await acceptBatch(database),
      await acceptBatch(database),
    ];
    await database.db.execute(sql`update batches set state = 'paused' where id = ${running.id}::uuid`);
    await runAll(database);
    await database.db.execute(
      sql`update batches set finished_at = clock_timestamp() - interval '30 days' where id <> ${young.id}::uuid`,
    );
    expect(await statements.expire(31)).toBe(0);
    expect(await statements.expire(30)).toBe(1);
    expect(await statements.expire(30)).toBe(0);
    expect([await statements.counts(old.id), (await statements.counts(young.id))?.state]).toEqual([null, 'completed']);
    await cleanAll(database);
    expect(await rowsOf(old.no)).toEqual({ ...nothing, results: 10, garbage: 1 });
    await database.db.execute(sql`update garbage set rows_at = rows_at - interval '25 hours'`);
    await cleanAll(database);
    expect(await rowsOf(old.no)).toEqual(nothing);
    expect(await rowsOf(young.no)).toMatchObject({ results: 10, chunks: 1 });
  });
});

describe('a range', () => {
  it('is dropped as a whole when nothing lives in it and none of its numbers can be drawn', async () => {
    const { statements } = database;
    const done = [await acceptBatch(database), await acceptBatch(database)];
    await runAll(database);
    await statements.extend();
    expect(await tables('inputs')).toEqual([1000]);
    for (const { id } of done) await statements.remove(id);
    await cleanAll(database);
    expect(await tables('results')).toEqual([1000]);

    await database.db.execute(sql`select setval('batches_no', 998)`);
    await statements.extend();
    const drawing = await session(`select nextval('batches_no')`);
    // The width has doubled: the first thousand was used up within half a day.
    expect(await tables('results')).toEqual([1000, 3000]);
    const next = await acceptBatch(database);
    expect(next.no).toBe(1000);
    await cleanAll(database);
    expect(await tables('results')).toEqual([1000, 3000]);
    await drawing.run('commit');
    await cleanAll(database);
    expect([await tables('results'), await tables('inputs')]).toEqual([[3000], [3000]]);
    await runAll(database);
    expect((await rowsOf(next.no))['results']).toBe(10);
    await statements.remove(next.id);
    await database.db.execute(sql`select setval('batches_no', 2999)`);
    await cleanAll(database);
    expect(await tables('results')).toEqual([3000]);
    expect((await acceptBatch(database)).no).toBe(3000);
  });

  it('is kept for an upload that has one of its numbers', async () => {
    const { statements } = database;
    const id = randomUUID();
    const no = await statements.openUpload({ owner: '', id, key: null, leaseMs: 60_000 });
    await database.db.execute(sql`select setval('batches_no', 999)`);
    await statements.extend();
    await cleanAll(database);
    expect(await tables('inputs')).toEqual([1000, 3000]);
    expect(await statements.put({ no, chunks: [{ first: 0, size: 1, items: '[1]', skipped: [] }] })).toBe(true);
    await statements.abortUpload(id);
    await cleanAll(database);
    expect(await tables('inputs')).toEqual([3000]);
  });

  it('is that of a large batch alone, and is dropped with it', async () => {
    const { statements } = database;
    const batch = { id: randomUUID(), name: null, handler: 'echo', total: 250_000, params: null, options: '{}' };
    const nos = await Promise.all(Array.from({ length: 4 }, () => statements.acceptCount(batch, 50_000)));
    expect(nos).toEqual(Array.from({ length: 4 }, () => nos[0]));
    expect(nos[0]).toBeGreaterThanOrEqual(1e9);
    const key = { key: 'mine', hash: 'h' };
    await acceptBatch(database, { key: 'mine' });
    await expect(statements.acceptCount({ ...batch, id: randomUUID(), key }, 50_000)).rejects.toThrow('used before');
    await cleanAll(database, 0);
    // What was made for nothing is gone.
    expect(await tables('results')).toEqual([1000, nos[0]! + 1]);
    await runAll(database);
    expect(await statements.counts(batch.id)).toMatchObject({ state: 'completed', succeeded: 250_000 });
    expect((await rowsOf(nos[0]!))['chunks']).toBe(5);
    await statements.remove(batch.id);
    await cleanAll(database);
    expect([await tables('results'), await tables('inputs')]).toEqual([[1000], [1000]]);
    expect(await rowsOf(nos[0]!)).toEqual(nothing);
  });

  it('of its own a large batch does without where there are too many, or somebody holds the parents', async () => {
    const large = () => acceptBatch(database, { total: 250_000, size: 250_000 });
    const vacuum = await session('lock table results in share update exclusive mode');
    expect((await large()).no).toBeLessThan(1000);
    await vacuum.run('commit');
    await database.db.execute(
      sql`insert into ranges (first, upto, own) select n, n + 1, true from generate_series(1500000000, 1500000063) n`,
    );
    expect((await large()).no).toBeLessThan(1000);
    await database.db.execute(sql`delete from ranges where first = 1500000000`);
    expect((await large()).no).toBeGreaterThanOrEqual(1e9);
  });

  it('that somebody reads for long is left alone: nobody waits for a lock, and work goes on', async () => {
    const { statements, db } = database;
    const large = await acceptBatch(database, { total: 250_000, size: 50_000 });
    await runAll(database);
    const reader = await session('select count(*) from results', 'select count(*) from inputs');
    await db.execute(sql`select pg_sleep(1.1)`);
    expect(await statements.remove(large.id)).toBe(true);
    await acceptBatch(database, { total: 20, size: 10, inputs: true });
    let over = false;
    const watched = (async () => {
      let waits = 0;
      for (; !over;)
        waits += (
          await only<{ n: number }>(
            database,
            sql`select count(*)::int as n from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.datname = current_database()`,
          )
        ).n;
      return waits;
    })();
    for (let round = 0; round < 20; round += 1) await cleanAll(database);
    await runAll(database);
    // Its tables are empty and its parents are held: the second step is as patient.
    await db.execute(sql`update ranges set emptied = true where own`);
    for (let round = 0; round < 20; round += 1) await cleanAll(database);
    over = true;
    expect(await watched).toBe(0);
    expect(await tables('results')).toEqual([1000, large.no + 1]);
    expect(await statements.batches({ owner: '', kind: 'batch', limit: 9 })).toMatchObject([
      { state: 'completed', succeeded: 20 },
    ]);
    await reader.run('commit');
    await cleanAll(database);
    expect(await tables('results')).toEqual([1000]);
  });
});
