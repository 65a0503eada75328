import { request } from 'node:http';
import { networkInterfaces } from 'node:os';
import { createClient } from '@bullpen/api';
import { eventually, freePort, startHouse, type House } from '@bullpen/testkit';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { callCli } from './run-cli.ts';

let house: House;
let port: number;
let url: string;
let workerPort: string;
beforeAll(async () => {
  workerPort = await freePort();
  house = await startHouse({ workers: 1, env: { HOST: '0.0.0.0', WORKER_PORT: workerPort } });
  port = Number(new URL(house.url()).port);
  url = `http://127.0.0.1:${port}`;
});
afterAll(() => house.stop());

/** An address of this machine that is not its loopback, as a stranger would come from one. */
const outside = Object.values(networkInterfaces())
  .flat()
  .find((each) => each?.family === 'IPv4' && !each.internal)?.address;

const statusOf = (
  path: string,
  headers: Record<string, string> = {},
  at = '127.0.0.1',
  to: number | string = port,
): Promise<number> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: at, port: to, path, headers, agent: false }, (res) => {
      res.resume();
      resolve(res.statusCode!);
    });
    asked.on('error', reject).end();
  });

const paths = [
  '/v1/batches',
  '/v1/batches?limit=1',
  '/v1/keys',
  '/readyz',
  '/docs',
  '/',
  '/queues/',
  '/metrics',
  '/nothing',
];

describe('a started service without keys', () => {
  it('says so, and answers this machine', async () => {
    expect(house.producer.log()).toContain('there are no keys: only this machine may ask');
    for (const path of paths.slice(0, -1)) expect([path, await statusOf(path)]).toEqual([path, 200]);
    expect(await statusOf('/metrics', {}, '127.0.0.1', workerPort)).toBe(200);
  });

  it('refuses a request with X-Forwarded-For', async () => {
    for (const path of paths)
      expect([path, await statusOf(path, { 'X-Forwarded-For': '127.0.0.1' })]).toEqual([path, 401]);
    expect(await statusOf('/metrics', { 'X-Forwarded-For': '127.0.0.1' }, '127.0.0.1', workerPort)).toBe(401);
    expect(await statusOf('/livez', { 'X-Forwarded-For': '127.0.0.1' })).toBe(200);
  });

  it.skipIf(outside === undefined)('refuses one from another address', async () => {
    for (const path of paths)
      expect([path, await statusOf(path, { Host: `localhost:${port}` }, outside)]).toEqual([path, 401]);
    expect(await statusOf('/metrics', { Host: 'localhost' }, outside, workerPort)).toBe(401);
    expect(await statusOf('/livez', {}, outside)).toBe(200);
  });

  it('refuses the page of a stranger, and who comes under another name', async () => {
    expect(await statusOf('/v1/batches', { Origin: 'http://evil.example' })).toBe(401);
    expect(await statusOf('/v1/batches', { Host: 'evil.example' })).toBe(401);
  });
});

test('the first key locks the door, and bullpen keys does the rest', async () => {
  const env = { BULLPEN_URL: url };
  const asAdmin = async (...args: string[]) => callCli(args, { ...env, BULLPEN_API_KEY: admin });
  let admin = '';

  expect(await callCli(['keys', 'list'], env)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('There are no keys'),
  });
  const reader = await callCli(['keys', 'create', '--name', 'reader', '--scopes', 'read'], env);
  expect(reader).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('The first key has to have the scope admin'),
  });
  const made = await callCli(['keys', 'create', '--name', 'ops', '--scopes', 'admin', '--json'], env);
  admin = JSON.parse(made.stdout).key;

  const without = await callCli(['list'], env);
  expect(without).toMatchObject({ code: 1, stderr: expect.stringMatching(/A key is needed[^]*Set BULLPEN_API_KEY/) });
  expect((await asAdmin('list')).code).toBe(0);
  expect((await callCli(['list'], { ...env, BULLPEN_API_KEY: 'hunter2' })).stderr).toMatch(
    /^(?!.*hunter2)[^]*BULLPEN_API_KEY must be/,
  );

  const importer = await asAdmin(
    'keys', 'create', '--name', 'importer', '--scopes', 'submit,read', '--owner', 'acme', '--requests-per-second', '50', '--expires', '90d',
  ); // prettier-ignore
  expect(importer.stdout).toMatch(/Key +bp_[0-9a-f]{15}_[0-9a-f]{48}\n[^]*Owner +acme\n[^]*It is shown this once/);
  const key = /bp_\w+/.exec(importer.stdout)![0];
  const id = key.split('_')[1]!;
  expect((await asAdmin('keys', 'list')).stdout).toMatch(
    new RegExp(`${id} +importer +acme +submit,read +50/s .*holds`),
  );

  // A whole batch by that key; its owner sees it, the admin, who has none, does not.
  const client = createClient({ url, apiKey: key });
  const { id: batchId } = await client.submit({ handler: 'echo', count: 1000 });
  await eventually('it ends', async () => (await client.getBatch(batchId)).state === 'completed');
  await expect(client.cancelBatch(batchId)).rejects.toThrow('The key needs the scope control; it has submit, read');
  expect((await asAdmin('show', batchId)).stderr).toContain('There is no such batch');
  const events = [];
  for await (const event of client.events(batchId)) events.push(event);
  expect(events.at(-1)).toMatchObject({ state: 'completed' });

  expect((await asAdmin('keys', 'revoke', id)).stdout).toContain(`Revoked: key ${id}`);
  await expect(client.getBatch(batchId)).rejects.toThrow('The key is not known, is revoked, or has expired');
  expect((await asAdmin('keys', 'revoke', admin.split('_')[1]!)).stderr).toContain(
    'It is the last key with the scope admin',
  );
  expect((await asAdmin('keys', 'revoke', 'nobody')).stderr).toContain('There is no such key');
  expect((await callCli(['keys', 'create', '--name', 'x', '--scopes', 'write'], env)).stderr).toContain(
    '"write" is none',
  );

  // A worker asks for the same keys, and probes need none.
  await eventually(
    'its metrics are closed',
    async () => (await statusOf('/metrics', {}, '127.0.0.1', workerPort)) === 401,
  );
  const refused = await fetch(`http://127.0.0.1:${workerPort}/metrics`);
  expect(refused.headers.get('www-authenticate')).toMatch(/^Bearer, Basic realm=/);
  expect(await statusOf('/metrics', { Authorization: `Bearer ${admin}` }, '127.0.0.1', workerPort)).toBe(200);
  expect(await statusOf('/readyz', {}, '127.0.0.1', workerPort)).toBe(200);
  expect(await statusOf('/readyz', { 'X-Forwarded-For': '203.0.113.7' })).toBe(200);
  expect(await statusOf('/v1/batches', { Authorization: `Bearer ${admin}`, 'X-Forwarded-For': '203.0.113.7' })).toBe(
    200,
  );
});

test('BULLPEN_ADMIN_KEY is there after the start, and stays revoked', async () => {
  const key = `bp_fromenv_${'k'.repeat(48)}`;
  const other = await startHouse({ workers: 0, env: { BULLPEN_ADMIN_KEY: key } });
  try {
    const client = createClient({ url: other.url(), apiKey: key });
    expect((await client.keys()).items).toMatchObject([
      { id: 'fromenv', name: 'BULLPEN_ADMIN_KEY', scopes: ['admin'] },
    ]);
    const { key: second } = await client.createKey({ name: 'second', scopes: ['admin'] });
    await client.revokeKey('fromenv');
    await other.producer.end('SIGTERM');
    await other.producer.restart();
    await expect(createClient({ url: other.url(), apiKey: key }).keys()).rejects.toThrow('is revoked');
    expect((await createClient({ url: other.url(), apiKey: second }).keys()).items).toHaveLength(2);
    expect(other.producer.log()).toContain('BULLPEN_ADMIN_KEY was revoked');
    expect(other.producer.log()).not.toContain('kkkk');
  } finally {
    await other.stop();
  }
});
