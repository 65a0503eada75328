import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLog } from '@bullpen/runtime';
import { hasRedis, openProxy, testRedisUrl } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it, onTestFinished, test } from 'vitest';
import { type AdmissionDeps, createAdmission } from '../src/intake/admission.ts';
import { type Answer, openApp, post, type TestApp, work } from './http-app.ts';

let app: TestApp;
afterEach(() => app.close());

/** An app that looks at what there is room for when it is told to. */
async function limited(
  settings: Partial<AdmissionDeps['settings']>,
  more: Partial<AdmissionDeps> = {},
): Promise<{ look: () => Promise<number> }> {
  let admission: ReturnType<typeof createAdmission>;
  app = await openApp({
    admission: { admit: (items) => admission.admit(items), took: (items) => admission.took(items) },
  });
  admission = createAdmission({
    statements: app.database.statements,
    settings: { backlogMaxItems: 1e9, redisMemoryMaxPercent: 100, diskFreeMinMb: 0, dataDir: '/nowhere', ...settings },
    redisUrl: null,
    databaseUrl: app.database.url,
    log: createLog({ name: 'test', level: 'silent', pretty: false }),
    ...more,
  });
  await admission.once();
  return { look: () => admission.once() };
}

const count = (n: number): Promise<Answer> => post(app, { handler: 'echo', count: n });
const lines = { 'content-type': 'application/x-ndjson' };
const full = {
  status: 429,
  headers: { 'retry-after': '10' },
  body: { type: '/problems/backlog-full', detail: expect.stringContaining('BACKLOG_MAX_ITEMS is 100') },
};

describe('beyond BACKLOG_MAX_ITEMS', () => {
  it('nothing more is taken in any way, nothing of it is stored, and as soon as some are done it is', async () => {
    const { look } = await limited({ backlogMaxItems: 100 });
    const open = await post(app, { handler: 'echo', options: { open: true } });
    expect((await count(98)).status).toBe(202);
    // Counted at once, and the same after a look.
    for (let n = 0; n < 2; n += 1) {
      expect(await count(3)).toMatchObject(full);
      expect(await post(app, '1\n2\n3\n', lines, '/v1/batches?handler=echo')).toMatchObject(full);
      expect(await post(app, [1, 2, 3], {}, `/v1/batches/${open.body.id}/items`)).toMatchObject(full);
      await look();
    }
    expect((await post(app, [1, 2], {}, `/v1/batches/${open.body.id}/items`)).status).toBe(202);
    expect(await post(app, '1', {}, '/v1/jobs/echo')).toMatchObject(full);
    const stored = await app.database.db.execute(
      sql`select sum(total)::int as items, count(*)::int as batches from batches`,
    );
    expect(stored[0]).toEqual({ items: 100, batches: 2 });
    expect(await app.database.db.execute(sql`select 1 from uploads where not dead`)).toHaveLength(0);
    await work(app.database, { chunks: 5 });
    await look();
    expect((await count(2)).status).toBe(202);
  });

  it('a request that was taken is answered the same again under its key, another under that key is refused', async () => {
    await limited({ backlogMaxItems: 100 });
    const open = await post(app, { handler: 'echo', options: { open: true } });
    const items = `/v1/batches/${open.body.id}/items`;
    const requests = [
      { body: { handler: 'echo', count: 3 } },
      { body: '1\n2\n3\n', type: lines, path: '/v1/batches?handler=echo' },
      { body: [1, 2, 3], path: items },
      { body: '1', path: '/v1/jobs/echo' },
    ];
    const send = (at: number, body = requests[at]!.body): Promise<Answer> =>
      post(app, body, { ...requests[at]!.type, 'idempotency-key': `key-${at}` }, requests[at]!.path);
    const first = [await send(0), await send(1), await send(2), await send(3)];
    expect((await count(90)).status).toBe(202);
    expect(await post(app, [1], {}, items)).toMatchObject(full);
    for (const [at, { status, body }] of first.entries()) {
      expect(status).toBe(202);
      const again = await send(at);
      expect(again).toMatchObject({ status: 202, headers: { 'idempotency-replayed': 'true' } });
      expect([again.body.id, again.body.batchId, again.body.firstIndex, again.body.index]).toEqual([
        body.id,
        body.batchId,
        body.firstIndex,
        body.index,
      ]);
    }
    const reused = { status: 422, body: { type: '/problems/key-reused' } };
    expect(await send(0, { handler: 'echo', count: 4 })).toMatchObject(reused);
    expect(await send(1, '1\n2\n4\n')).toMatchObject(reused);
    expect(await send(2, [1, 2, 4])).toMatchObject(reused);
    expect(await send(3, '2')).toMatchObject(reused);
  });

  it('a batch that is paused counts, one that is cancelled does not', async () => {
    const { look } = await limited({ backlogMaxItems: 100 });
    const { id } = (await count(100)).body;
    await post(app, '', {}, `/v1/batches/${id}/pause`);
    await look();
    expect(await count(1)).toMatchObject(full);
    await post(app, '', {}, `/v1/batches/${id}/cancel`);
    await look();
    expect((await count(1)).status).toBe(202);
  });
});

const noRoom = (detail: RegExp): object => ({
  status: 503,
  headers: { 'retry-after': '10' },
  body: { type: '/problems/no-room', detail: expect.stringMatching(detail) },
});

test('without room on the disk of an embedded PostgreSQL nothing more is taken', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'bullpen-disk-'));
  onTestFinished(() => rm(dataDir, { recursive: true }));
  await limited({ diskFreeMinMb: 1e9, dataDir });
  expect((await count(1)).status).toBe(202);
  await app.close();
  await mkdir(join(dataDir, 'postgres'));
  await limited({ diskFreeMinMb: 1e9, dataDir });
  expect(await count(1)).toMatchObject(noRoom(/MiB left \(DISK_FREE_MIN_MB is 1000000000\)/));
});

test.runIf(hasRedis)(
  'without room in Redis nothing more is taken, and what cannot be looked at keeps nobody out',
  async () => {
    await limited({ redisMemoryMaxPercent: 1e-9 }, { redisUrl: testRedisUrl() });
    expect(await count(1)).toMatchObject(noRoom(/Redis has filled 0 %/));
    await app.close();
    await limited({ redisMemoryMaxPercent: 1e-9 }, { redisUrl: 'redis://127.0.0.1:1' });
    expect((await count(1)).status).toBe(202);
  },
);

test.runIf(hasRedis)('Redis that was full and is away keeps nobody out, the disk still does', async () => {
  const proxy = await openProxy(testRedisUrl());
  onTestFinished(() => proxy.close());
  const dataDir = await mkdtemp(join(tmpdir(), 'bullpen-disk-'));
  onTestFinished(() => rm(dataDir, { recursive: true }));
  const settings = { redisMemoryMaxPercent: 1e-9, diskFreeMinMb: 1e9, dataDir };
  const { look } = await limited(settings, { redisUrl: proxy.url });
  expect(await count(1)).toMatchObject(noRoom(/Redis has filled 0 %/));
  await proxy.set({ refuses: true });
  await look();
  expect((await count(1)).status).toBe(202);
  await app.close();
  await mkdir(join(dataDir, 'postgres'));
  await limited(settings, { redisUrl: proxy.url });
  expect(await count(1)).toMatchObject(noRoom(/MiB left/));
});
