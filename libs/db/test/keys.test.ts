import { randomUUID } from 'node:crypto';
import { KeyTaken, type NewBatch } from '@bullpen/db';
import { databaseForTest, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { beforeEach, describe, expect, it } from 'vitest';

let database: TestDatabase;
beforeEach(async () => void (database = await databaseForTest()));

const batchOf = (hash: string, key = 'k'): NewBatch => ({
  id: randomUUID(), name: null, handler: 'echo', total: 20, params: null, options: '{}', key: { key, hash },
}); // prettier-ignore
const many = async (table: string): Promise<number> => {
  const [row] = await database.db.execute(sql`select count(*)::int as n from ${sql.identifier(table)}`);
  return (row as { n: number }).n;
};
const taken = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'mine',
    (error: unknown) => (error instanceof KeyTaken ? error.receipt : error),
  );
const chunk = (first: number, size: number) => ({
  first,
  size,
  items: JSON.stringify(Array.from({ length: size }, (_, at) => at)),
});

describe('a key', () => {
  it('makes one batch of 20 equal requests at once, and tells all others which', async () => {
    const batches = Array.from({ length: 20 }, () => batchOf('same'));
    const answers = await Promise.all(batches.map((batch) => taken(database.statements.acceptCount(batch, 10))));
    const mine = answers.indexOf('mine');
    expect(answers.filter((_, at) => at !== mine)).toEqual(
      Array.from({ length: 19 }, () => ({ batch: batches[mine]!.id, hash: 'same', first: null })),
    );
    expect([await many('batches'), await many('chunks')]).toEqual([1, 2]);
    // A repeated run of the first one is still the first one.
    expect(await taken(database.statements.acceptCount(batches[mine]!, 10))).toBe('mine');
    expect(await taken(database.statements.acceptCount(batchOf('other'), 10))).toMatchObject({ hash: 'same' });
  });

  it('is free again after a day', async () => {
    await database.statements.acceptCount(batchOf('a'), 10);
    await database.db.execute(sql`update idempotency set expires_at = clock_timestamp() - interval '1 second'`);
    expect(await taken(database.statements.acceptCount(batchOf('b'), 10))).toBe('mine');
    await database.db.execute(sql`update idempotency set expires_at = clock_timestamp() - interval '1 hour'`);
    await database.statements.forget();
    expect(await many('idempotency')).toBe(0);
  });

  it('is held by an upload while it is read, and free when that is aborted or its producer gone', async () => {
    const { statements } = database;
    const open = (id: string, leaseMs = 60_000) => statements.openUpload({ owner: '', id, key: 'k', leaseMs });
    const [first, second, third] = [randomUUID(), randomUUID(), randomUUID()];
    const no = await open(first);
    expect(await open(first)).toBe(no);
    expect(await taken(open(second))).toEqual({ batch: first, hash: null, first: null });
    expect(await taken(statements.acceptCount(batchOf('x'), 10))).toEqual({ batch: first, hash: null, first: null });
    await statements.abortUpload(first);
    const taking = await open(second, 1);
    // Its lease is over, and its producer comes back too late.
    await new Promise((resolve) => setTimeout(resolve, 20));
    const last = await open(third);
    await statements.put({ no: taking, chunks: [{ ...chunk(0, 3), skipped: [] }] });
    await statements.put({ no: last, chunks: [{ ...chunk(0, 3), skipped: [] }] });
    const whole = (id: string, no: number) => ({ ...batchOf('h'), id, no, total: 3, chunks: 1, skipped: 0 });
    expect(await statements.goLive(whole(second, taking))).toBe(false);
    expect(await statements.goLive(whole(third, last))).toBe(true);
    // What is live is not aborted.
    await statements.abortUpload(third);
    expect(await taken(statements.acceptCount(batchOf('h'), 10))).toEqual({ batch: third, hash: 'h', first: null });
  });

  it('is kept while the producer of its upload says that it is there', async () => {
    const { statements } = database;
    const id = randomUUID();
    const no = await statements.openUpload({ owner: '', id, key: 'k', leaseMs: 1 });
    await statements.keepUploads({ nos: [no], leaseMs: 60_000 });
    expect(await taken(statements.openUpload({ owner: '', id: randomUUID(), key: 'k', leaseMs: 1 }))).toMatchObject({
      batch: id,
    });
  });
});

describe('keys that are kept while uploads go live', () => {
  it('wait for nothing of each other', async () => {
    const { statements } = database;
    let over = false;
    const nos = new Set<number>();
    const keeping = (async () => {
      while (!over) await statements.keepUploads({ nos: [...nos], leaseMs: 60_000 });
    })();
    const one = async (key: string): Promise<boolean> => {
      const id = randomUUID();
      const no = await statements.openUpload({ owner: '', id, key, leaseMs: 60_000 });
      nos.add(no);
      await statements.put({ no, chunks: [{ ...chunk(0, 3), skipped: [] }] });
      const live = await statements.goLive({ ...batchOf('h', key), id, no, total: 3, chunks: 1, skipped: 0 });
      nos.delete(no);
      return live;
    };
    for (let round = 0; round < 40; round += 1)
      expect(await Promise.all([0, 1, 2, 3, 4, 5].map((at) => one(`${round}-${at}`)))).not.toContain(false);
    over = true;
    await keeping;
    const [row] = await database.db.execute(
      sql`select deadlocks::int as n from pg_stat_database where datname = current_database()`,
    );
    expect(row).toEqual({ n: 0 });
  });
});

describe('an open batch', () => {
  const opened = async (): Promise<string> => {
    const batch = { ...batchOf(''), key: undefined, total: 0, open: true };
    await database.statements.acceptInputs(batch, []);
    return batch.id;
  };
  const append = (batch: string, size: number, more: object = {}) =>
    database.statements.append({ batch, id: randomUUID(), chunks: [chunk(0, size)], unfinishedMax: 100, ...more });

  it('numbers what is appended, all at once, without gap or overlap', async () => {
    const batch = await opened();
    const firsts = await Promise.all(Array.from({ length: 10 }, (_, at) => append(batch, at + 1)));
    const ends = firsts.map(({ first }, at) => first! + at + 1);
    expect(firsts.map(({ first }) => first!).sort((a, b) => a - b)).toEqual(
      [0, ...ends.sort((a, b) => a - b)].slice(0, 10),
    );
    expect(await database.statements.counts(batch)).toMatchObject({ total: 55, sealed: false, state: 'running' });
    expect(await append(batch, 46)).toEqual({ first: null, batch: { sealed: false, state: 'running' } });
    expect(await append(randomUUID(), 1)).toEqual({ first: null, batch: null });
  });

  it('answers a repeated append as it did, 20 at once too', async () => {
    const batch = await opened();
    const id = randomUUID();
    expect(await append(batch, 5, { id })).toMatchObject({ first: 0 });
    expect(await append(batch, 5, { id })).toEqual({ first: 0, known: true });
    const key = { key: 'k', hash: 'h' };
    const answers = await Promise.all(Array.from({ length: 20 }, () => append(batch, 5, { key })));
    expect(new Set(answers.map(({ first }) => first))).toEqual(new Set([5]));
    expect(await taken(append(batch, 5, { key: { key: 'k', hash: 'other' } }))).toMatchObject({ hash: 'h' });
    expect(await database.statements.counts(batch)).toMatchObject({ total: 10 });
  });

  it('is completed by close where nothing is left, and takes no more', async () => {
    const batch = await opened();
    await database.statements.close(batch);
    expect(await database.statements.counts(batch)).toMatchObject({ state: 'completed', sealed: true, total: 0 });
    expect(await append(batch, 1)).toEqual({ first: null, batch: { sealed: true, state: 'completed' } });
    const other = await opened();
    await append(other, 1);
    await database.statements.close(other);
    expect(await database.statements.counts(other)).toMatchObject({ state: 'running', sealed: true });
  });
});

describe('single items', () => {
  const roll = () => database.statements.rollJobs({ owner: '', handler: 'echo', id: randomUUID(), options: '{}' });
  const job = (input: string, key?: string, hash = 'h') => ({ input, key: key === undefined ? key : { key, hash } });

  it('go to one rolling batch, a chunk for each group, each key once', async () => {
    const { statements } = database;
    const [batch, same] = await Promise.all([roll(), roll()]);
    expect(same).toBe(batch);
    const group = randomUUID();
    const jobs = [job('"a"', 'k1'), job('"b"'), job('"c"', 'k2'), job('"d"')];
    const placed = await statements.appendJobs({ owner: '', batch, group, jobs });
    expect(placed!.map(({ index }) => index)).toEqual([2, 0, 3, 1]);
    expect(await statements.appendJobs({ owner: '', batch, group, jobs })).toMatchObject(
      placed!.map(({ index }) => ({ index })),
    );
    const later = await statements.appendJobs({
      owner: '',
      batch,
      group: randomUUID(),
      jobs: [job('"e"'), job('"a"', 'k1', 'x'), job('"f"', 'k3')],
    });
    expect(later).toEqual([
      { batch, index: 4, hash: null },
      { batch, index: 2, hash: 'h' },
      { batch, index: 5, hash: null },
    ]);
    const items = await database.db.execute(sql`select items from inputs order by first`);
    expect(items.map((row) => (row as { items: string }).items)).toEqual(['["b","d","a","c"]', '["e","f"]']);
    expect(await statements.counts(batch)).toMatchObject({ total: 6, kind: 'jobs' });
    const twice = await Promise.all(
      Array.from({ length: 20 }, () =>
        statements.appendJobs({ owner: '', batch, group: randomUUID(), jobs: [job('1', 'once'), job('2')] }),
      ),
    );
    expect(new Set(twice.map((each) => each![0]!.index)).size).toBe(1);
    expect(await statements.counts(batch)).toMatchObject({ total: 27 });
  });

  it('under the key of an upload that is still read are not placed', async () => {
    const { statements } = database;
    await statements.openUpload({ owner: '', id: randomUUID(), key: 'k', leaseMs: 60_000 });
    const batch = await roll();
    const placed = await statements.appendJobs({
      owner: '',
      batch,
      group: randomUUID(),
      jobs: [job('1', 'k'), job('2')],
    });
    expect(placed).toEqual([expect.objectContaining({ index: null, hash: null }), { batch, index: 0, hash: null }]);
  });

  it('go to a new batch each day and after a million', async () => {
    const { statements } = database;
    const ids = [await roll()];
    for (const change of [
      sql`created_at = created_at - interval '1 day'`,
      sql`total = 1000000`,
      sql`state = 'cancelled'`,
    ]) {
      await database.db.execute(sql`update batches set ${change} where not sealed`);
      expect(
        await statements.appendJobs({ owner: '', batch: ids.at(-1)!, group: randomUUID(), jobs: [job('1')] }),
      ).toBeNull();
      ids.push(await roll());
    }
    expect(new Set(ids).size).toBe(4);
    expect(await statements.counts(ids[0]!)).toMatchObject({ state: 'completed', sealed: true });
    expect(await statements.counts(ids[1]!)).toMatchObject({ state: 'running', sealed: true });
  });

  it('are settled when they have a row, or when no unfinished chunk holds them', async () => {
    const { statements } = database;
    const batch = await roll();
    await statements.appendJobs({ owner: '', batch, group: randomUUID(), jobs: [job('1'), job('2')] });
    await statements.appendJobs({ owner: '', batch, group: randomUUID(), jobs: [job('3')] });
    const items = [0, 1, 2].map((index) => ({ batch, index, closely: true }));
    const settled = async (asked = items) => (await statements.settled(asked)).map(({ at }) => at);
    expect(await settled()).toEqual([]);
    await database.db.execute(sql`update chunks set state = 'done' where first = 0`);
    expect(await settled()).toEqual([0, 1]);
    expect(await settled(items.map((item) => ({ ...item, closely: false })))).toEqual([]);
    await database.db.execute(sql`update chunks set state = 'running' where first = 2`);
    expect(await settled()).toEqual([0, 1]);
    await database.db.execute(sql`insert into results (batch, index, finished_at, status, attempt)
      select no, 2, now(), 1, 1 from batches`);
    expect(await settled()).toEqual([0, 1, 2]);
  });
});
