import { setTimeout as sleep } from 'node:timers/promises';
import { createStatements, createTraffic, mayHaveCommitted, openDatabase, verdictOf, withRetry } from '@bullpen/db';
import { databaseForTest, eventually, openProxy, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acceptBatch } from './work.ts';

/** Another session. */
function open({ url }: Pick<TestDatabase, 'url'>, words = '') {
  const opened = openDatabase({ url: url + words, max: 1, name: 'retry', durable: true });
  onTestFinished(opened.close);
  return opened;
}

/** Somebody holds the row of a batch for so long. */
async function hold(database: TestDatabase, no: number, seconds: number): Promise<{ over: Promise<unknown> }> {
  const holder = open(database);
  const over = Promise.resolve(
    holder.db.execute(sql`select pg_sleep(${seconds}) from (select from batches where no = ${no} for update) held`),
  );
  over.catch(() => undefined);
  const held = sql`select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()`;
  await eventually('it is held', async () => (await database.db.execute(held)).length > 0);
  return { over };
}

describe('a lock that somebody holds for longer than two statements may run', () => {
  const words = '?statement_timeout=400';

  it('is waited for by who has nothing else to do', async () => {
    const database = await databaseForTest();
    const { no } = await acceptBatch(database, { total: 10, size: 10 });
    const traffic = createTraffic();
    const statements = createStatements(open(database, words).db, { reconnectMs: Infinity, traffic });
    const { over } = await hold(database, no, 2.5);
    await statements.pause(no);
    await over;
    expect(traffic.retries.once).toBeGreaterThan(1);
  });

  it('is told to who is waited for', async () => {
    const database = await databaseForTest();
    const { no } = await acceptBatch(database, { total: 10, size: 10 });
    const traffic = createTraffic();
    const statements = createStatements(open(database, words).db, { reconnectMs: 10_000, traffic });
    await hold(database, no, 2.5);
    const error = await statements.pause(no).catch((said: unknown) => said);
    expect([verdictOf(error), traffic.retries.once]).toEqual(['once', 1]);
  });
});

it('a session that was begun while the server took no writes is not gone on with', async () => {
  const database = await databaseForTest();
  const { no } = await acceptBatch(database, { total: 10, size: 10 });
  const name = new URL(database.url).pathname.slice(1);
  await database.db.execute(sql.raw(`alter database ${name} set default_transaction_read_only = on`));
  const { db } = open(database);
  const verdicts: string[] = [];
  const onRetry = (verdict: string): void => void verdicts.push(verdict);
  const paused = createStatements(db, { reconnectMs: 10_000, onRetry }).pause(no);
  await eventually('it is refused', () => verdicts.length > 2);
  await database.db.execute(sql.raw(`alter database ${name} reset default_transaction_read_only`));
  const resetAt = performance.now();
  expect(await paused).toBe(true);
  expect(performance.now() - resetAt).toBeLessThan(3000);
  expect(new Set(verdicts)).toEqual(new Set(['reconnect']));
});

it('an outage uses up no tries for a conflict', async () => {
  const database = await databaseForTest();
  const proxy = await openProxy(database.url);
  onTestFinished(() => proxy.close());
  const { db } = open(proxy);
  await proxy.set({ refuses: true });
  void sleep(4000).then(() => proxy.set({}));
  let conflicts = 0;
  const verdicts: Record<string, number> = {};
  const run = async (): Promise<unknown> => {
    const rows = await db.execute(sql`select 1`);
    if ((conflicts += 1) > 3) return rows;
    return db.execute(sql`do $$ begin raise exception using errcode = '40001'; end $$`);
  };
  const onRetry = (verdict: string): void => void (verdicts[verdict] = (verdicts[verdict] ?? 0) + 1);
  await withRetry(run, { reconnectMs: 20_000, onRetry });
  expect(verdicts['reconnect']).toBeGreaterThan(5);
  expect(verdicts['again']).toBe(3);
});

describe('an error of the connection', () => {
  const fault = (code: string, syscall?: string): Error =>
    Object.assign(new Error(code), { code, ...(syscall !== undefined && { syscall }) });
  const ofDrizzle = (cause: Error): Error => new Error('Failed query', { cause });
  const several = Object.assign(new AggregateError([fault('EHOSTUNREACH', 'connect')]), { code: 'EHOSTUNREACH' });

  it.each([
    [fault('ENETDOWN'), true],
    [fault('EHOSTDOWN'), true],
    [fault('EADDRNOTAVAIL', 'connect'), false],
    [fault('EPERM', 'write'), true],
    [fault('EACCES', 'connect'), false],
    [fault('ECONNABORTED', 'read'), true],
    [fault('EMFILE'), false],
    [fault('EAI_FAIL', 'getaddrinfo'), false],
    [fault('ENOENT', 'connect'), false],
    [fault('ENOBUFS', 'write'), true],
    [fault('EHOSTUNREACH', 'connect'), false],
    [fault('EHOSTUNREACH', 'read'), true],
    [several, false],
    [fault('57P05'), false],
  ])('%s is waited out, and says whether it may have been done: %s', async (fails, isUnsure) => {
    for (const each of [fails, ofDrizzle(fails)]) {
      expect(verdictOf(each)).toBe('reconnect');
      const fail = async (): Promise<never> => {
        throw each;
      };
      await expect(withRetry(fail, { reconnectMs: -1 })).rejects.toBe(each);
      expect(mayHaveCommitted(each)).toBe(isUnsure);
    }
  });
});
