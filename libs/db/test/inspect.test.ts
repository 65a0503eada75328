import { auditCounts, inspectServer, inspectWaits, inspectWork, migrationState, openDatabase } from '@bullpen/db';
import { databaseForTest, eventually, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, it, onTestFinished } from 'vitest';

/** A batch as it stands, with its chunks. */
async function addBatch(
  { db }: TestDatabase,
  batch: { handler?: string; state: string; total: number; succeeded: number },
  chunks: { state: string; size: number; worker?: string }[],
): Promise<string> {
  const { handler = 'echo', state, total, succeeded } = batch;
  const [row] = (await db.execute(sql`
    insert into batches (id, handler, state, total, succeeded, options)
    values (gen_random_uuid(), ${handler}, ${state}, ${total}, ${succeeded}, '{}') returning no, id`)) as unknown as [
    { no: number; id: string },
  ];
  for (const { state, size, worker = null } of chunks)
    await db.execute(
      sql`insert into chunks (batch, first, size, state, worker) values (${row.no}, 0, ${size}, ${state}, ${worker}::uuid)`,
    );
  return row.id;
}

const addWorker = ({ db }: TestDatabase, id: string, name: string, secondsAgo: number, facts = '{}') =>
  db.execute(sql`
    insert into workers (id, name, host, pid, seen, handlers, concurrency, facts)
    values (${id}::uuid, ${name}, 'h', 1, clock_timestamp() - make_interval(secs => ${secondsAgo}), '{echo}', 1, ${facts}::text::json)`);

const [live, gone] = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'] as const;

describe('auditCounts', () => {
  it('finds batches whose counts differ from their chunks, and no others', async () => {
    const database = await databaseForTest();
    await addBatch(database, { state: 'completed', total: 30, succeeded: 30 }, [
      { state: 'done', size: 10 },
      { state: 'done', size: 20 },
    ]);
    await addBatch(database, { state: 'running', total: 30, succeeded: 10 }, [
      { state: 'done', size: 10 },
      { state: 'pending', size: 20 },
    ]);
    expect(await auditCounts(database.db, { newest: 10, withinMs: 5000 })).toEqual({ batches: 2, faults: [] });

    const more = await addBatch(database, { state: 'running', total: 30, succeeded: 11 }, [
      { state: 'done', size: 10 },
      { state: 'pending', size: 20 },
    ]);
    const less = await addBatch(database, { state: 'completed', total: 30, succeeded: 30 }, [
      { state: 'done', size: 29 },
    ]);
    const stuck = await addBatch(database, { state: 'running', total: 30, succeeded: 30 }, [
      { state: 'done', size: 30 },
    ]);
    const audit = await auditCounts(database.db, { newest: 10, withinMs: 5000 });
    expect(audit).toEqual({
      batches: 5,
      faults: [
        { id: more, what: '11 items are counted as done, its chunks say 10' },
        { id: less, what: '30 items are counted as done, its chunks say 29' },
        { id: less, what: 'its chunks cover 29 of 30 items' },
        { id: stuck, what: 'all is done, and it is not completed' },
      ],
    });
  });

  it('looks at all that have not ended and at the newest, gives up in time, and leaves the time limit as it was', async () => {
    const database = await databaseForTest();
    await addBatch(database, { state: 'completed', total: 1, succeeded: 1 }, []);
    await addBatch(database, { state: 'paused', total: 1, succeeded: 0 }, [{ state: 'pending', size: 1 }]);
    await addBatch(database, { state: 'completed', total: 1, succeeded: 1 }, [{ state: 'done', size: 1 }]);
    expect(await auditCounts(database.db, { newest: 1, withinMs: 5000 })).toEqual({ batches: 2, faults: [] });

    const { db, close } = openDatabase({ url: database.url, max: 1, name: 'test', durable: true });
    onTestFinished(close);
    // Whoever wants to read it waits for this lock.
    const holder = openDatabase({ url: database.url, max: 1, name: 'holder', durable: true });
    onTestFinished(holder.close);
    // A statement of Drizzle's runs again each time that it is waited for.
    const held = Promise.resolve(holder.db.execute(sql`do 'begin lock table chunks; perform pg_sleep(30); end'`));
    held.catch(() => {});
    await eventually('the lock is held', async () => {
      const rows = await database.db.execute(
        sql`select from pg_locks where mode = 'AccessExclusiveLock' and relation = 'chunks'::regclass`,
      );
      return rows.length > 0;
    });
    expect(await auditCounts(db, { newest: 1, withinMs: 100 })).toBeNull();
    expect([...(await db.execute(sql`show statement_timeout`))]).toEqual([{ statement_timeout: '30s' }]);

    // The same stand-off, as the doctor sees it.
    const blocked = Promise.resolve(db.execute(sql`select count(*) from chunks`));
    blocked.catch(() => {});
    const waits = await eventually('it is blocked', async () => {
      const found = await inspectWaits(database.db, { blockedMs: 50, idleMs: 0 });
      return found.blocked.length === 1 && found;
    });
    const [{ pid }] = (await database.db.execute(
      sql`select pid from pg_stat_activity where application_name = 'holder'`,
    )) as unknown as [{ pid: number }];
    expect(waits).toMatchObject({ lockWaits: 1, blocked: [{ name: 'test', blockers: [pid] }] });
    expect(await inspectWaits(database.db, { blockedMs: 60_000, idleMs: 60_000 })).toMatchObject({
      blocked: [],
      idle: [],
    });
    await database.db.execute(sql`select pg_cancel_backend(${pid})`);
    await Promise.allSettled([held, blocked]);
  });
});

describe('inspectWork', () => {
  it('tells who works, what nobody owns, knows or runs', async () => {
    const database = await databaseForTest({ partitions: 3 });
    await addWorker(database, live, 'one', 0, '{"lagP99Ms": 70.5}');
    await addWorker(database, gone, 'two', 60);
    await database.db.execute(
      sql`update partitions set owner = case no when 0 then ${live}::uuid when 1 then ${gone}::uuid end`,
    );
    await addBatch(database, { state: 'running', total: 9, succeeded: 2 }, [
      { state: 'done', size: 2 },
      { state: 'running', size: 3, worker: live },
      { state: 'running', size: 4, worker: gone },
    ]);
    await addBatch(database, { handler: 'new', state: 'running', total: 5, succeeded: 0 }, [
      { state: 'pending', size: 5 },
    ]);
    await addBatch(database, { handler: 'old', state: 'paused', total: 5, succeeded: 0 }, [
      { state: 'pending', size: 5 },
    ]);
    expect(await inspectWork(database.db, { leaseMs: 5000 })).toEqual({
      installationId: database.installation.id,
      partitions: 3,
      workers: [{ name: 'one', draining: false, facts: { lagP99Ms: 70.5 } }],
      unowned: [1, 2],
      batchesRunning: 2,
      itemsOpen: 12,
      unknownHandlers: [{ handler: 'new', batches: 1, items: 5 }],
      stranded: { chunks: 1, items: 4 },
    });
    // Repair has three leases for it.
    expect(await inspectWork(database.db, { leaseMs: 30_000 })).toMatchObject({ stranded: { chunks: 0, items: 0 } });
  });
});

describe('inspectServer and migrationState', () => {
  it('tell what a session has, and which migrations are missing', async () => {
    const database = await databaseForTest();
    const facts = await inspectServer(database.db, ['jit', 'no.such']);
    expect(facts).toMatchObject({ replica: false, settings: { jit: 'off', 'no.such': null } });
    expect(facts.connections.byName).toContainEqual({ name: 'test', count: expect.any(Number) });
    expect(facts.connections.used).toBeLessThanOrEqual(facts.connections.max);

    expect(await migrationState(database.db)).toEqual({ missing: [], newer: false });
    await database.db.execute(
      sql`update migrations set created_at = created_at + 1 where id = (select max(id) from migrations)`,
    );
    expect(await migrationState(database.db)).toEqual({ missing: [], newer: true });
    await database.db.execute(sql`delete from migrations where id = (select max(id) from migrations)`);
    expect(await migrationState(database.db)).toEqual({ missing: [expect.stringMatching(/^\d{4}_/)], newer: false });
    const { db, close } = openDatabase({ url: database.url, max: 1, name: 'test', durable: true, schema: 'empty' });
    onTestFinished(close);
    expect((await migrationState(db)).missing.length).toBeGreaterThan(1);
  });
});
