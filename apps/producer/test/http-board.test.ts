import { createPublisher, prepareQueues } from '@bullpen/queue';
import { createDatabase, eventually, hasRedis, type TestDatabase, testRedisUrl } from '@bullpen/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ask, openApp, type TestApp, work } from './http-app.ts';

let app: TestApp;
let publisher: ReturnType<typeof createPublisher>;
let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
  const backend = hasRedis
    ? ({ kind: 'redis', url: testRedisUrl() } as const)
    : ({ kind: 'postgres', url: database.url } as const);
  await prepareQueues(backend);
  publisher = createPublisher({
    backend,
    installationId: crypto.randomUUID(),
    partitions: 4,
    parallelism: 1,
    jobsPerCall: 10,
  });
  await eventually('the queues answer', () => publisher.reachable());
  await publisher.publish([
    { chunk: 1, generation: 1, partition: 2, handler: 'echo', batch: 'b', batchNo: 1, items: 3 },
  ]);
  app = await openApp({ queues: publisher.queues });
});
afterAll(async () => {
  await Promise.all(publisher.queues.map((queue) => queue.obliterate({ force: true })));
  await publisher.close();
  await app.close();
  await database.drop();
});

test('Bull Board shows the page and the queues with their owners', async () => {
  await work(app.database, { hold: true });
  await app.database.client`insert into bullpen.workers (id, name, host, pid, handlers, concurrency, facts, helping)
    select gen_random_uuid(), 'hand', host, pid, handlers, concurrency, facts, id from bullpen.workers where name = 'tester'`;
  const page = await ask(app, '/queues');
  expect(page.status).toBe(200);
  expect(page.headers['content-type']).toMatch(/^text\/html/);
  expect(page.headers['x-powered-by']).toBeUndefined();
  const script = /static\/js\/main[^"]*\.js/.exec(page.text)![0];
  expect((await ask(app, `/queues/${script}`)).status).toBe(200);
  const { body } = await ask(app, '/queues/api/queues');
  expect(body.queues.map(({ name }: { name: string }) => name)).toEqual([
    'partition-0',
    'partition-1',
    'partition-2',
    'partition-3',
  ]);
  expect(body.queues[2]).toMatchObject({
    description: 'partition 2 · owner tester · epoch 1 · helped by hand',
    readOnlyMode: true,
    counts: { waiting: 1 },
  });
});

test('Redis details stay hidden', async () => {
  const { text } = await ask(app, '/queues/api/redis/stats');
  expect(text).not.toMatch(/redis_version|used_memory|"version"/);
});

test('nothing can be changed, and its errors are problems', async () => {
  for (const path of ['/queues/api/queues/pause', '/queues/api/queues/partition-2/empty']) {
    const answer = await ask(app, path, { method: 'PUT' });
    expect(answer).toMatchObject({ status: 405, body: { type: '/problems/method-not-allowed' } });
  }
  expect(await publisher.queues[2]!.isPaused()).toBe(false);
  for (const path of [
    '/queues/api/queues/other/c-1',
    '/queues/api/queues/partition-2/c-9',
    '/queues/api/nothing',
    '/queues/static/nothing.js',
  ]) {
    const answer = await ask(app, path);
    expect({ path, status: answer.status, type: answer.headers['content-type'] }).toEqual({
      path,
      status: 404,
      type: 'application/problem+json',
    });
  }
});

test('without Redis the board is 503 within 5 s, and the rest serves', async () => {
  const away = createPublisher({
    backend: { kind: 'redis', url: 'redis://127.0.0.1:1' },
    installationId: crypto.randomUUID(),
    partitions: 1,
    parallelism: 1,
    jobsPerCall: 10,
  });
  const other = await openApp({ queues: away.queues });
  try {
    const started = performance.now();
    expect(await ask(other, '/queues/api/queues')).toMatchObject({
      status: 503,
      headers: { 'retry-after': '2', 'content-type': 'application/problem+json' },
    });
    expect(performance.now() - started).toBeLessThan(5000);
    expect((await ask(other, '/v1/batches')).status).toBe(200);
  } finally {
    await other.close();
    await away.close();
  }
});
