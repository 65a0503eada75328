import { randomUUID } from 'node:crypto';
import { createStatements, openDatabase, type Settled } from '@bullpen/db';
import { databaseForTest, eventually, idleFacts, type TestDatabase, texts } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, it } from 'vitest';
import { acceptBatch, claimSome, join, markSome, whole } from './work.ts';

describe('accept', () => {
  it('repeated with the same id changes nothing and answers the same number', async () => {
    const database = await databaseForTest();
    const batch = { id: randomUUID(), name: null, handler: 'echo', total: 250, params: null, options: '{}' };
    const [first, ...others] = await Promise.all(
      Array.from({ length: 8 }, () => database.statements.acceptCount(batch, 100)),
    );
    expect(new Set(others)).toEqual(new Set([first]));
    expect((await markSome(database)).map((chunk) => chunk.size).sort((a, b) => b - a)).toEqual([100, 100, 50]);
  });

  it('keeps inputs as they came', async () => {
    const database = await databaseForTest();
    const items = String.raw`[ 1.10, "a,\"b\"", {"k":"\u0000\ud800"} ]`;
    await database.statements.acceptInputs(
      { id: randomUUID(), name: 'n', handler: 'echo', total: 3, params: '{"p":1}', options: '{}' },
      [{ first: 0, size: 3, items }],
    );
    const [held] = await claimSome(database);
    expect(held!.inputs).toEqual([{ first: 0, items }]);
  });

  it('goes on past the last partition of results', async () => {
    const database = await databaseForTest();
    await database.db.execute(sql`select setval('batches_no', 999)`);
    const { no } = await acceptBatch(database, { total: 10, size: 10 });
    expect(no).toBe(1000);
    const [held] = await claimSome(database);
    await database.statements.flush([whole(held!)]);
    expect(
      await database.statements.results({ batch: 1000, after: -1, limit: 20, status: 'all', maxBytes: 1e6 }),
    ).toHaveLength(10);
  });
});

describe('mark', () => {
  it('gives every running batch its head chunks before any its tail', async () => {
    const database = await databaseForTest();
    const long = await acceptBatch(database, { total: 10_000, size: 10 });
    const short = await acceptBatch(database, { total: 20, size: 10 });
    const marked = await database.statements.mark({
      handlers: ['echo'],
      slots: [0, 1, 2, 3, 4, 5, 6, 7],
      itemsMax: 1000,
    });
    const shares = marked.map((chunk) => chunk.batch.id);
    expect(shares.filter((id) => id === short.id)).toHaveLength(2);
    expect(shares.filter((id) => id === long.id)).toHaveLength(6);
  });

  it('takes no more items than asked for, but at least one chunk', async () => {
    const database = await databaseForTest();
    await acceptBatch(database, { total: 1000, size: 100 });
    expect(await database.statements.mark({ handlers: ['echo'], slots: [0, 0, 0, 0], itemsMax: 150 })).toHaveLength(2);
    expect(await database.statements.mark({ handlers: ['echo'], slots: [0, 0, 0, 0], itemsMax: 1 })).toHaveLength(1);
    expect(await database.statements.mark({ handlers: ['other'], slots: [0], itemsMax: 1000 })).toHaveLength(0);
  });
});

describe('the fence', () => {
  it('a worker whose claim is old writes nothing', async () => {
    const database = await databaseForTest();
    const { id, no } = await acceptBatch(database, { total: 100, size: 100 });
    const [old, young] = [randomUUID(), randomUUID()];
    const [held] = await claimSome(database, { claim: old });
    await database.db.execute(sql`update workers set seen = now() - interval '1 day'`);
    expect(await database.statements.repair({ leaseMs: 500 })).toHaveLength(1);
    await claimSome(database, { claim: young });
    expect(await database.statements.flush([whole(held!)])).toEqual([]);
    expect(await database.statements.counts(id)).toMatchObject({ succeeded: 0, running: 100 });
    expect(await database.statements.results({ batch: no, after: -1, limit: 1, status: 'all', maxBytes: 1e6 })).toEqual(
      [],
    );
    expect(await database.statements.flush([whole(held!, { claim: young })])).toHaveLength(1);
  });

  it('a claim is answered again under its own id, and to nobody else', async () => {
    const database = await databaseForTest();
    await acceptBatch(database, { total: 100, size: 50 });
    const worker = randomUUID();
    const claim = randomUUID();
    const held = await claimSome(database, { worker, claim });
    const nos = held.map((chunk) => chunk.no);
    expect(held).toMatchObject(await database.statements.claim({ nos, claim, worker, handlers: ['echo'] }));
    expect(held).toHaveLength(2);
    expect(await database.statements.claim({ nos, claim: randomUUID(), worker, handlers: ['echo'] })).toEqual([]);
  });

  it('a claim finds its inputs whatever is said of their batches', async () => {
    const database = await databaseForTest();
    const { statements } = database;
    const given = (items: string) => [{ first: 0, size: 1, items }];
    const batch = { name: null, handler: 'echo', total: 1, params: null, options: '{}' };
    const a = await statements.acceptInputs({ id: randomUUID(), ...batch }, given('["a"]'));
    const b = await statements.acceptInputs({ id: randomUUID(), ...batch }, given('["b"]'));
    const marked = await markSome(database);
    expect(marked.map((chunk) => chunk.batch.no)).toEqual([a, b]);
    const claim = randomUUID();
    const request = { nos: marked.map((chunk) => chunk.no), claim, worker: randomUUID(), handlers: ['echo'] };
    for (const batches of [[a, b], [a], [4711], null]) {
      const held = await statements.claim({ ...request, batches });
      expect(held.map(({ inputs }) => inputs[0]!.items)).toEqual(['["a"]', '["b"]']);
    }
  });

  it('a worker without the handler gives the chunk back', async () => {
    const database = await databaseForTest();
    await acceptBatch(database, { total: 10, size: 10 });
    const nos = (await markSome(database)).map((chunk) => chunk.no);
    expect(
      await database.statements.claim({ nos, claim: randomUUID(), worker: randomUUID(), handlers: ['other'] }),
    ).toEqual([]);
    expect(await markSome(database)).toMatchObject([{ generation: 2 }]);
  });
});

describe('flush', () => {
  it('settles what is final and puts the rest back, and counts stay whole', async () => {
    const database = await databaseForTest();
    const { id, no } = await acceptBatch(database, { total: 10, size: 10 });
    const claim = randomUUID();
    const [held] = await claimSome(database, { claim });
    const settled: Settled = {
      no: held!.no, claim, first: 0, succeeded: 3, outputs: texts([{"i":2},null]), indexes: [2, 5],
      failures: [{ index: 7, error: { code: 'boom', message: 'no' } }],
      rests: [{ first: 0, size: 2, picks: null, attempt: 1, delayMs: 0 }, { first: 3, size: 4, picks: [3, 4, 8, 9], attempt: 2, delayMs: 60_000 }],
    }; // prettier-ignore
    await database.statements.flush([settled]);
    expect(await database.statements.counts(id)).toMatchObject({
      state: 'running',
      succeeded: 3,
      failed: 1,
      running: 0,
    });
    const rows = await database.statements.results({ batch: no, after: -1, limit: 10, status: 'all', maxBytes: 1e6 });
    expect(rows.map(({ index, status, output, error }) => [index, status, output, error])).toEqual([
      [2, 'succeeded', '{"i":2}', null],
      [5, 'succeeded', 'null', null],
      [7, 'failed', null, '{"code":"boom","message":"no"}'],
    ]);
    expect(await claimSome(database)).toMatchObject([{ first: 0, size: 2, picks: null, attempt: 1 }]);
    expect(await database.statements.due()).toBe(0);
    await database.db.execute(sql`update chunks set not_before = now() where not_before is not null`);
    expect(await database.statements.due()).toBe(1);
    expect(await claimSome(database)).toMatchObject([{ picks: [3, 4, 8, 9], attempt: 2 }]);
    expect(await database.statements.outcome({ batch: no, index: 6 })).toMatchObject({ row: null, open: false });
    expect(await database.statements.outcome({ batch: no, index: 8 })).toMatchObject({ row: null, open: true });
  });

  it('completes a batch once, by whichever flush was last', async () => {
    const database = await databaseForTest();
    const { id } = await acceptBatch(database, { total: 1200, size: 100 });
    const held = await claimSome(database);
    await Promise.all(held.map((chunk) => database.statements.flush([whole(chunk)])));
    expect(await database.statements.counts(id)).toMatchObject({ state: 'completed', succeeded: 1200 });
    expect(await database.statements.flush(held.map((chunk) => whole(chunk)))).toEqual([]);
  });

  it('waits for the disk when it completes a batch', async () => {
    const database = await databaseForTest();
    const quick = openDatabase({ url: database.url, max: 1, name: 'quick', durable: false });
    const statements = createStatements(quick.db, { reconnectMs: 1000 });
    const flushedUpto = async () => {
      const [row] = await database.db.execute<{ log: string; disk: string }>(
        sql`select pg_current_wal_insert_lsn() - '0/0' as log, pg_current_wal_flush_lsn() - '0/0' as disk`,
      );
      return { log: Number(row!.log), disk: Number(row!.disk) };
    };
    // The log goes to the disk by itself every 200 ms, and with the commits of other tests: one time in twenty tells.
    for (let times = 0; times < 20; times += 1) {
      await acceptBatch(database, { total: 10, size: 10 });
      const [held] = await claimSome(database);
      const before = (await flushedUpto()).log;
      await statements.flush([whole(held!)]);
      expect((await flushedUpto()).disk).toBeGreaterThan(before);
    }
    await quick.close();
  });

  it('counts when all is written: who waits for the counters keeps nobody waiting', async () => {
    const database = await databaseForTest();
    const { id } = await acceptBatch(database, { total: 20_000, size: 10_000 });
    const [held, other] = await claimSome(database);
    await database.statements.flush([whole(other!)]);
    const size = async (): Promise<number> =>
      Number((await database.db.execute(sql`select pg_relation_size('results_1000') as size`))[0]!['size']);
    const before = await size();
    const holder = Promise.resolve(
      database.db.execute(
        sql`with held as (update batches set name = 'held' where id = ${id} returning no) select pg_sleep(2) from held`,
      ),
    );
    await eventually('the counters are held', async () => (await lockedRows(database)) > 0 || null);
    const flushed = database.statements.flush([whole(held!)]);
    await eventually('it waits for them', async () => (await waiting(database)) > 0 || null);
    expect(await size()).toBeGreaterThan(before * 1.8);
    await Promise.all([holder, flushed]);
    expect(await database.statements.counts(id)).toMatchObject({ state: 'completed', succeeded: 20_000 });
  });
});

const lockedRows = async ({ db }: TestDatabase): Promise<number> =>
  (await db.execute(sql`select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`))
    .length;
const waiting = async ({ db }: TestDatabase): Promise<number> =>
  (await db.execute(sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`))
    .length;

describe('heartbeat', () => {
  it('frees what runs under the worker but is not in its hands, and only after the grace', async () => {
    const database = await databaseForTest();
    await acceptBatch(database, { total: 30, size: 10 });
    const worker = randomUUID();
    await join(database, worker);
    const claim = randomUUID();
    const held = await claimSome(database, { worker, claim });
    const beat = (claims: string[], orphanMs: number) =>
      database.statements.heartbeat({ worker, claims, batches: [held[0]!.batch], facts: idleFacts, orphanMs });
    expect(await beat([claim], 0)).toMatchObject({ orphans: [], stopped: [], known: true });
    expect(await beat([], 60_000)).toMatchObject({ orphans: [] });
    await database.statements.pause(held[0]!.batch);
    const answer = await beat([], 0);
    expect(new Set(answer.orphans)).toEqual(new Set(held.map((chunk) => chunk.no)));
    expect(answer.stopped).toEqual([{ no: held[0]!.batch, state: 'paused' }]);
    await database.statements.leave(worker);
    expect(await beat([], 0)).toMatchObject({ known: false });
  });
});

describe('control', () => {
  it('cancel keeps what was done and the counts whole', async () => {
    const database = await databaseForTest();
    const { id, no } = await acceptBatch(database, { total: 100, size: 50 });
    const [a, b] = await claimSome(database);
    await database.statements.flush([whole(a!)]);
    expect(await database.statements.cancel(no)).toBe(true);
    expect(await database.statements.cancel(no)).toBe(false);
    await database.statements.flush([
      {
        ...whole(b!),
        succeeded: 0,
        outputs: '',
        indexes: [],
        rests: [{ first: b!.first, size: 50, picks: null, attempt: 1, delayMs: 0 }],
      },
    ]);
    expect(await database.statements.counts(id)).toMatchObject({ state: 'cancelled', succeeded: 50, running: 0 });
    expect(await markSome(database)).toEqual([]);
  });
});
