import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { databaseForTest, eventually, startApp, testRedisUrl } from '@bullpen/testkit';
import { describe, expect, onTestFinished, test } from 'vitest';

const { BULLPEN_BUILD: build } = process.env;
/** The built worker under `npm test`, its sources where vitest was called by hand. */
const workerArgs =
  build === undefined
    ? ['--import', 'tsx', 'apps/worker/src/main.ts']
    : ['--enable-source-maps', `${build}/worker.mjs`];

interface Batch {
  id: string;
  counts: { running: number; succeeded: number };
}

async function listening(): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  return { port: (server.address() as AddressInfo).port, close };
}

async function freePort(): Promise<number> {
  const { port, close } = await listening();
  await close();
  return port;
}

const ask = async (port: number, path: string, method = 'GET', headers: Record<string, string> = {}) => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers });
  const text = await response.text();
  return { status: response.status, allow: response.headers.get('allow'), body: text === '' ? null : JSON.parse(text) };
};

/** Null where nobody answers. */
const statusOf = (port: number, path: string) =>
  ask(port, path).then(
    ({ status }) => status,
    () => null,
  );

describe('WORKER_PORT', () => {
  test('a worker is ready while its servers answer, and says why not', async () => {
    const database = await databaseForTest();
    const port = await freePort();
    const env = { DATABASE_URL: database.url, REDIS_URL: testRedisUrl(), LEASE_MS: '1500' };
    const worker = await startApp('worker', { ...env, WORKER_PORT: String(port) });
    onTestFinished(() => void worker.end('SIGKILL'));

    await eventually('it is ready', async () => (await statusOf(port, '/readyz')) === 200);
    expect(await ask(port, '/livez')).toMatchObject({ status: 200, body: { status: 'alive' } });
    expect(await ask(port, '/readyz', 'HEAD')).toMatchObject({ status: 200, body: null });
    expect(await ask(port, '/readyz', 'POST')).toMatchObject({ status: 405, allow: 'GET, HEAD' });
    expect(await ask(port, '/metric?x=1')).toMatchObject({
      status: 404,
      body: { type: '/problems/not-found', instance: '/metric' },
    });

    // Without this table neither heartbeat nor leases can be renewed; the servers go on to answer.
    await database.db.execute('alter table workers rename to away');
    const late = await eventually('it says both', async () => {
      const { status, body } = await ask(port, '/readyz');
      return status === 503 && body.errors.length === 2 && body;
    });
    expect(late).toMatchObject({
      type: '/problems/not-ready',
      errors: [{ message: 'the heartbeat is late' }, { message: 'the leases of its partitions are not renewed' }],
    });
    // Who may not ask is not told.
    expect(await ask(port, '/readyz', 'GET', { 'X-Forwarded-For': '203.0.113.7' })).toMatchObject({
      status: 503,
      body: { errors: [{ message: 'with a key it is said here what is in the way' }] },
    });
    expect(await statusOf(port, '/livez')).toBe(200);
    await database.db.execute('alter table away rename to workers');
    await eventually('it is ready again', async () => (await statusOf(port, '/readyz')) === 200);
  });

  test('a worker that drains is alive and not ready until its last item is done', async () => {
    const database = await databaseForTest();
    const port = await freePort();
    const env = { DATABASE_URL: database.url, REDIS_URL: testRedisUrl(), LEASE_MS: '1500' };
    const worker = await startApp('worker', { ...env, WORKER_PORT: String(port) });
    const producer = await startApp('producer', { ...env, PORT: '0' });
    onTestFinished(() => void [worker.end('SIGKILL'), producer.end('SIGKILL')]);
    const url = `${String(producer.facts()['url'])}/v1/batches`;
    const body = JSON.stringify({ handler: 'sleep', count: 1, params: { ms: 2500 } });
    const batch = async (path: string, init?: RequestInit) => (await (await fetch(url + path, init)).json()) as Batch;
    const { id } = await batch('', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    await eventually('it runs', async () => (await batch(`/${id}`)).counts.running === 1);
    // From claim to item it may still be given back.
    await sleep(500);

    const ended = worker.end('SIGTERM');
    await eventually('it says so', async () => {
      const { status, body } = await ask(port, '/readyz');
      return status === 503 && body.detail === 'the worker stops';
    });
    expect(await statusOf(port, '/livez')).toBe(200);
    expect(await ended).toBe(0);
    expect(await statusOf(port, '/livez')).toBeNull();
    expect((await batch(`/${id}`)).counts.succeeded).toBe(1);
  });

  test('a worker that waits for its servers is alive and not ready; a taken port is one clear line', async () => {
    const { port: taken, close } = await listening();
    onTestFinished(close);
    const env = { DATABASE_URL: 'postgres://x@127.0.0.1:1/x', REDIS_URL: 'redis://127.0.0.1:1' };
    await expect(startApp('worker', { ...env, WORKER_PORT: String(taken) })).rejects.toThrow(
      new RegExp(
        `ended with 78 .*Port ${taken} is taken: choose another one, for example WORKER_PORT=\\d+ pnpm worker`,
        's',
      ),
    );

    const port = await freePort();
    const waiting = spawn(process.execPath, workerArgs, {
      env: { ...process.env, ...env, WORKER_PORT: String(port) },
      stdio: 'ignore',
    });
    onTestFinished(() => void waiting.kill('SIGKILL'));
    const answer = await eventually('it answers', () => ask(port, '/readyz').catch(() => null));
    expect(answer).toMatchObject({ status: 503, body: { errors: [{ message: 'the worker starts' }] } });
    expect(await statusOf(port, '/livez')).toBe(200);
    waiting.kill('SIGTERM');
    expect(await once(waiting, 'exit')).toEqual([0, null]);
  });
});
