import type { WorkerFacts } from '@bullpen/db';
import { recommendedPostgres, recommendedRedis, type Recommended } from '@bullpen/runtime';
import { inspectRedis, type RedisFacts } from '@bullpen/queue';
import { createAuthority, databaseForTest, startHouse, testRedisUrl, tlsFront } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, onTestFinished, test } from 'vitest';
import { amountOf } from '../src/doctor/amounts.ts';
import { bytesText } from '../src/text/numbers.ts';
import type { Finding } from '../src/doctor/finding.ts';
import { judgeKeys } from '../src/doctor/keys.ts';
import { judgeConnections, judgeServer } from '../src/doctor/postgres.ts';
import { judgeMachine } from '../src/doctor/machine.ts';
import { judgeRedis } from '../src/doctor/redis.ts';
import { judgeSession, judgeSettings } from '../src/doctor/settings.ts';
import { judgeSpace, judgeWork } from '../src/doctor/work.ts';
import { callCli, dataFolder } from './run-cli.ts';

interface Report {
  healthy: boolean;
  findings: Finding[];
}

async function doctor(env: Record<string, string>, ...args: string[]): Promise<Report & { code: number }> {
  const { code, stdout, stderr } = await callCli(['doctor', '--json', ...args], env);
  expect(stderr).toBe('');
  return { code, ...(JSON.parse(stdout) as Report) };
}

const found = ({ findings }: Report, check: string): Finding[] => findings.filter((each) => each.check === check);
const levels = (findings: readonly Finding[]): string[] => findings.map(({ level, check }) => `${level} ${check}`);
const noRedis = 'redis://127.0.0.1:1';

describe('doctor', () => {
  test('finds nothing to do in a Bullpen that is well', async () => {
    const house = await startHouse({ workers: 1 });
    onTestFinished(() => house.stop());
    const env = {
      DATABASE_URL: house.database.url,
      REDIS_URL: house.redisUrl,
      BULLPEN_URL: house.url(),
      LEASE_MS: '1500',
    };
    const report = await doctor(env);
    const embedded = process.env['DATABASE_URL'] === undefined && process.env['REDIS_URL'] === undefined;
    // Servers that were given may be set otherwise; ours start with what is recommended.
    if (embedded) expect(report.findings.filter(({ level }) => level !== 'ok')).toEqual([]);
    expect(report).toMatchObject({ code: 0, healthy: true });
    for (const check of [
      'postgres',
      'postgres session',
      'migrations',
      'keys',
      'producer',
      'workers',
      'partitions',
      'chunks',
      'counts',
      'space',
      'redis',
    ])
      expect(found(report, check), check).toMatchObject([{ level: 'ok' }]);

    const { stdout, code } = await callCli(['doctor'], env);
    expect(stdout).toMatch(/^ok {4}node +\d+/);
    expect(stdout).toMatch(
      /ok {4}connections +\(3 workers \+ 1 producer\) × DATABASE_POOL_MAX 10 = 40 of \d+ − 10 connections\n/,
    );
    if (embedded) expect(stdout).toMatch(/\nAll is well: \d+ checks\.\n$/);
    expect(code).toBe(0);
  });

  test('finds what was planted, each with a remedy', async () => {
    const database = await databaseForTest();
    const { db } = database;
    // A batch that nobody can run, with a wrong count, a job that Redis does not hold, and a chunk under nobody.
    await db.execute(sql`
      insert into batches (id, handler, state, total, succeeded, options) values (gen_random_uuid(), 'mine', 'running', 30, 7, '{}')`);
    await db.execute(sql`
      insert into chunks (batch, first, size, state, partition, generation, queued_at, worker)
      select no, 0, 10, s, 0, 1, clock_timestamp() - interval '1 minute', case s when 'running' then gen_random_uuid() end
      from batches, unnest(array['pending', 'queued', 'running']) s`);
    const env = { DATABASE_URL: database.url, REDIS_URL: testRedisUrl(), DATABASE_POOL_MAX: '1000' };
    const report = await doctor(env);
    expect(report).toMatchObject({ code: 1, healthy: false });
    const bad = report.findings.filter(({ level }) => level === 'bad');
    expect(levels(bad)).toEqual(
      ['connections', 'producer', 'workers', 'handlers', 'chunks', 'counts'].map((check) => `bad ${check}`),
    );
    for (const { remedy } of bad) expect(remedy).toMatch(/^(psql|pnpm|HANDLERS=)/);
    expect(found(report, 'chunks')[0]!.found).toBe('1 chunk with 10 items run under workers that are gone');
    expect(found(report, 'counts')[0]!.found).toContain('7 items are counted as done, its chunks say 0');

    await db.execute(sql`update chunks set state = 'pending' where state = 'running'`);
    expect(found(await doctor(env), 'chunks')).toMatchObject([
      { level: 'bad', found: '1 chunk should stand in a queue and do not' },
    ]);
    await db.execute(sql`delete from migrations where id = (select max(id) from migrations)`);
    expect(found(await doctor(env), 'migrations')).toMatchObject([
      { level: 'bad', remedy: expect.stringMatching(/^pnpm db:migrate/) },
    ]);
  });

  test('tells servers that are away, goes on with the others, and ends with 78 where there is none to look at', async () => {
    const away = await doctor({ DATABASE_URL: 'postgres://x@127.0.0.1:1/x', REDIS_URL: testRedisUrl() });
    expect(away.code).toBe(1);
    expect(found(away, 'postgres')).toMatchObject([
      { level: 'bad', found: expect.stringContaining('ECONNREFUSED'), remedy: expect.stringContaining('start it') },
    ]);
    expect(found(away, 'redis')).toMatchObject([{ level: 'ok' }]);

    const { url } = await databaseForTest();
    const half = await doctor({ DATABASE_URL: url, REDIS_URL: noRedis });
    expect(half.code).toBe(1);
    expect(found(half, 'redis')).toMatchObject([{ level: 'bad' }]);
    expect(found(half, 'migrations')).toMatchObject([{ level: 'ok' }]);

    const nothing = await callCli(['doctor'], { DATA_DIR: await dataFolder() });
    expect(nothing).toMatchObject({
      code: 78,
      stdout: '',
      stderr: expect.stringMatching(/^No Bullpen runs on .*npm start/),
    });
  });

  test('tells of a certificate that does not verify, and of one that nobody verifies', async () => {
    const { url } = await databaseForTest();
    const certificate = createAuthority().issue();
    const [postgres, redis] = [await tlsFront(url, certificate), await tlsFront(testRedisUrl(), certificate)];
    const told = await doctor({ DATABASE_URL: `${postgres.url()}?sslmode=require`, REDIS_URL: redis.url() });
    expect(told.code).toBe(1);
    const unknown = { level: 'bad', found: expect.stringContaining('no known CA has signed') };
    expect(found(told, 'postgres')).toMatchObject([unknown]);
    expect(found(told, 'redis')).toMatchObject([unknown]);

    const careless = await doctor({ DATABASE_URL: `${postgres.url()}?sslmode=no-verify`, REDIS_URL: testRedisUrl() });
    expect(found(careless, 'postgres tls')).toMatchObject([{ level: 'warn', remedy: 'set sslmode=verify-full' }]);
    expect(found(careless, 'redis tls')).toMatchObject([{ level: 'ok', found: expect.stringMatching(/^off/) }]);
  });

  test('a warning is nothing to be done, unless --strict', async () => {
    const { url } = await databaseForTest();
    const env = { DATABASE_URL: url, REDIS_URL: testRedisUrl() };
    const mild = await doctor(env);
    expect(found(mild, 'workers')).toMatchObject([{ level: 'warn', remedy: 'pnpm worker' }]);
    expect(mild.code).toBe(0);
    expect((await doctor(env, '--strict')).code).toBe(1);
  });
});

describe('the verdict', () => {
  const all = (list: readonly Recommended[]) => Object.fromEntries(list.map(({ name, value }) => [name, value]));

  test('on settings: more is as good, other units are the same, and what cannot be read is said', () => {
    const good = { ...all(recommendedPostgres), shared_buffers: '8GB', work_mem: '16384kB', checkpoint_timeout: '1h' };
    expect(judgeSettings('postgres', good, recommendedPostgres)).toMatchObject([{ level: 'ok' }]);
    const wrong = judgeSettings(
      'postgres',
      { ...good, work_mem: '4MB', fsync: 'off', max_connections: '100' },
      recommendedPostgres,
    );
    expect(levels(wrong)).toEqual(['warn postgres max_connections', 'warn postgres work_mem', 'bad postgres fsync']);
    expect(wrong.map(({ remedy }) => remedy)).toEqual([
      `psql "$DATABASE_URL" -c "ALTER SYSTEM SET max_connections = '200'"   and restart PostgreSQL`,
      `psql "$DATABASE_URL" -c "ALTER SYSTEM SET work_mem = '16MB'" -c "SELECT pg_reload_conf()"`,
      `psql "$DATABASE_URL" -c "ALTER SYSTEM SET fsync = 'on'" -c "SELECT pg_reload_conf()"`,
    ]);
    const managed = { 'maxmemory-policy': 'allkeys-lru', appendonly: null, appendfsync: null };
    expect(levels(judgeSettings('redis', managed, recommendedRedis))).toEqual(['bad redis maxmemory-policy']);
    const closed = { ...managed, 'maxmemory-policy': 'noeviction' };
    expect(judgeSettings('redis', closed, recommendedRedis)).toMatchObject([
      { found: '1 are as recommended, 2 cannot be read' },
    ]);
    expect(judgeSession({ jit: 'on', plan_cache_mode: 'force_custom_plan', synchronous_commit: 'on' })).toMatchObject({
      level: 'bad',
      found: expect.stringContaining('jit is on, not off'),
    });
  });

  test('on the server: a replica, a far one, a clock that is off', () => {
    const facts = {
      version: '18',
      replica: false,
      clockAheadMs: 300,
      settings: {},
      connections: { max: 200, used: 9, byName: [] },
    };
    expect(levels(judgeServer(facts, 1, 'h'))).toEqual(['ok postgres', 'ok clock']);
    expect(levels(judgeServer({ ...facts, replica: true, clockAheadMs: -5000 }, 1, 'h'))).toEqual([
      'bad postgres',
      'warn clock',
    ]);
    // Half of a long round trip is not the clock's.
    expect(levels(judgeServer({ ...facts, clockAheadMs: 1200 }, 300, 'h'))).toEqual(['warn postgres', 'ok clock']);
    const plan = { workers: 17, producers: 2, poolMax: 10, forQueues: 0 };
    expect(levels(judgeConnections(facts, plan))).toEqual(['ok connections', 'ok connections now']);
    expect(levels(judgeConnections(facts, { ...plan, workers: 18 }))).toEqual([
      'bad connections',
      'ok connections now',
    ]);
    const full = {
      ...facts,
      connections: {
        max: 200,
        used: 195,
        byName: [
          { name: 'bullpen worker a', count: 90 },
          { name: 'bullpen worker b', count: 80 },
          { name: 'psql', count: 25 },
        ],
      },
    };
    expect(judgeConnections(full, plan)[1]).toMatchObject({
      level: 'bad',
      found: '195 of 200 in use: worker 170, others 25',
    });
  });

  test('on the disk: less than is kept free', async () => {
    const disk = async (diskFreeMinMb: number) => (await judgeMachine({ dataDir: '.', diskFreeMinMb }, true))[1]!;
    expect(await disk(1e9)).toMatchObject({
      level: 'bad',
      found: expect.stringContaining('less than DISK_FREE_MIN_MB (1000000000): nothing more is accepted'),
    });
    expect((await disk(0)).found).not.toContain('nothing more');
  });

  test('on Redis: full, a replica, saves that fail', async () => {
    const facts = await inspectRedis(testRedisUrl(), ['maxmemory-policy']);
    expect(facts).toMatchObject({ settings: { 'maxmemory-policy': 'noeviction' }, replica: false, savesFail: false });
    expect(facts.usedBytes).toBeGreaterThan(100_000);
    const full = (part: number): RedisFacts => ({ ...facts, maxBytes: 1000, usedBytes: part * 1000 });
    const memory = (part: number): string => judgeRedis(full(part), 1, 'h', 80)[1]!.level;
    expect([0.7, 0.73, 0.8].map(memory)).toEqual(['ok', 'warn', 'bad']);
    expect(levels(judgeRedis({ ...facts, replica: true, savesFail: true, clients: 90, clientsMax: 100 }, 30, 'h', 80))).toEqual([
      'bad redis', 'ok redis memory', 'warn redis clients', 'bad redis disk',
    ]); // prettier-ignore
  });

  test('on work: a late event loop, partitions without owner, what workers chose', () => {
    const working = (name: string, more: Partial<WorkerFacts>) => ({
      name,
      draining: false,
      facts: {
        chunksInFlight: 3, chunksMax: 12, itemsDone: 1, itemsPerSecond: 19_800, chunksPerSecond: 20, turnaroundMs: 30,
        roundTripMs: { redis: 0.1, postgres: 0.4 }, ...more,
      }, // prettier-ignore
    });
    const tuned = { concurrency: true, chunks: false, concurrencyMax: 150, flushesMax: 2, itemMs: 5.2 };
    const facts = {
      installationId: 'x', partitions: 12, unowned: [3, 4, 5], batchesRunning: 0, itemsOpen: 0, unknownHandlers: [],
      stranded: { chunks: 0, items: 0 },
      workers: [working('a', { lagP99Ms: 50 }), working('b', { lagP99Ms: 51 }), working('c', { tuned })],
    }; // prettier-ignore
    expect(judgeSpace({ overdue: 0, ranges: 2 })).toMatchObject({ level: 'ok', check: 'space' });
    expect(judgeSpace({ overdue: 1, ranges: 2 })).toMatchObject({
      level: 'warn',
      found: expect.stringMatching(/^1 deleted batch /),
    });
    const findings = judgeWork(facts, 0);
    expect(levels(findings)).toEqual(['ok workers', 'bad partitions', 'ok limits', 'warn event loop', 'ok chunks']);
    expect(findings[1]!.found).toBe('3-5 of 12 are owned by nobody');
    expect(findings[2]!.found).toBe(
      'c: 150 items in handlers (auto), 5.2 ms each, 12 chunks in hand (set), 2 flushes under way; PostgreSQL is 0.4 ms away, 19,800 items/s now',
    );
    expect(findings[3]!.found).toMatch(/^of b /);
    expect(judgeWork({ ...facts, unowned: [], workers: [] }, null)[0]).toMatchObject({
      level: 'warn',
      remedy: 'pnpm worker',
    });
  });

  test('on keys: who can make another, and which end soon', () => {
    const now = Date.parse('2026-11-29T12:00:00Z');
    const key = (scopes: ('admin' | 'read')[], more: { expiresAt?: Date; revokedAt?: Date } = {}) => ({
      id: 'one', hash: '', name: 'ops', owner: '', scopes, rate: null, createdAt: new Date(0), expiresAt: null, revokedAt: null, ...more,
    }); // prettier-ignore
    const days = (count: number): Date => new Date(now + count * 86_400_000);
    expect(levels(judgeKeys([], now))).toEqual(['ok keys']);
    expect(levels(judgeKeys([key(['admin']), key(['read'], { revokedAt: days(-1) })], now))).toEqual(['ok keys']);
    expect(levels(judgeKeys([key(['admin'], { expiresAt: days(-1) }), key(['read'])], now))).toEqual(['bad keys']);
    expect(levels(judgeKeys([key(['admin'], { revokedAt: days(-1) })], now))).toEqual(['bad keys']);
    expect(
      judgeKeys([key(['admin']), key(['read'], { expiresAt: days(2) }), key(['read'], { expiresAt: days(9) })], now),
    ).toMatchObject([
      { level: 'ok', found: '3 keys hold, 1 with the scope admin' },
      { level: 'warn', found: '"ops" (one) ends at 2026-12-01T12:00:00.000Z' },
    ]);
  });

  test('reads amounts as PostgreSQL writes them', () => {
    expect(['256MB', '15min', '200', '-1', 'on', '8kB'].map(amountOf)).toEqual([
      268_435_456,
      900_000,
      200,
      -1,
      null,
      8192,
    ]);
    expect([0, 999, 1536, 80 * 1024 ** 3].map(bytesText)).toEqual(['0 B', '999 B', '1.5 kB', '80 GB']);
  });
});
