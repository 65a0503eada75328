import { openApi, type Scope, scopes } from '@bullpen/api';
import { createLog } from '@bullpen/runtime';
import { eventually } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { ask, openApp, post, type TestApp, work } from './http-app.ts';
import { keyFor, type TestKey } from './http-keys.ts';
import { operationsOf, sampleOf } from './requests.ts';

let app: TestApp;
let admin: TestKey;
const single = new Map<Scope, TestKey>();
const worthless: [string, Record<string, string>][] = [['no key', {}]];
const operations = operationsOf(openApi('1.0.0') as unknown as Parameters<typeof operationsOf>[0]);

beforeAll(async () => {
  app = await openApp();
  admin = await keyFor(app, ['admin']);
  for (const scope of scopes) single.set(scope, await keyFor(app, [scope]));
  const revoked = await keyFor(app, [...scopes]);
  await app.client.keys().catch(() => undefined);
  await ask(app, `/v1/keys/${revoked.id}`, { method: 'DELETE', headers: admin.headers });
  const expired = await keyFor(app, [...scopes], { expiresAt: new Date(Date.now() - 1000) });
  worthless.push(
    ['one that was revoked', revoked.headers],
    ['one that has expired', expired.headers],
    ['one that nobody made', { authorization: `Bearer bp_nobody_${'a'.repeat(48)}` }],
    ['a wrong secret', { authorization: `Bearer bp_${admin.id}_${'a'.repeat(48)}` }],
    ['a wrong password', { authorization: `Basic ${btoa(`x:${admin.key}x`)}` }],
  );
});
afterAll(() => app.close());

/** A place for each name in a path: something that is there. */
async function pathOf(path: string, operation: string): Promise<string> {
  const { body } = await post(
    app,
    operation === 'appendItems' || operation === 'closeBatch'
      ? { handler: 'echo', inputs: [1], options: { open: true } }
      : { handler: 'echo', count: 1 },
    admin.headers,
  );
  const isOver = ['deleteBatch', 'getResult', 'listResults', 'batchEvents'].includes(operation);
  if (isOver) await work(app.database);
  const keys = path.startsWith('/v1/keys') ? (await keyFor(app, ['read'])).id : body.id;
  return path.replace('{id}', keys).replace('{index}', '0').replace('{handler}', 'echo').replace('{name}', 'echo');
}

async function statusFor(operation: (typeof operations)[number], headers: Record<string, string>) {
  const { method, id, path } = operation;
  const sample = sampleOf(id);
  const answer = await ask(app, await pathOf(path, id), {
    method: method.toUpperCase(),
    headers: { ...sample.headers, ...headers },
    ...(sample.body !== undefined && { body: sample.body }),
  });
  return answer.status;
}

describe.each(operations.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
  '%s',
  (_, operation) => {
    const { scopes: needed, id } = operation;

    it('is refused without a key that holds', async () => {
      for (const [name, headers] of worthless)
        expect([name, await statusFor(operation, headers)]).toEqual([name, needed === null ? 200 : 401]);
    });

    it('is allowed by the scope that the document names and by admin, and by no other', async () => {
      for (const [scope, { headers }] of single) {
        const isAllowed = needed === null || needed.length === 0 || needed.includes(scope) || scope === 'admin';
        const status = await statusFor(operation, headers);
        if (isAllowed)
          expect([id, scope, status]).toEqual([id, scope, expect.toSatisfy((each) => each >= 200 && each < 300)]);
        else expect([id, scope, status]).toEqual([id, scope, 403]);
      }
    });
  },
);

test('every operation that changes anything needs more than to read', () => {
  for (const { method, scopes: needed, id } of operations)
    if (method !== 'get') expect([id, needed]).toEqual([id, [expect.stringMatching(/^(submit|control|admin)$/)]]);
});

test('Bull Board and what is below it is for admins', async () => {
  for (const path of ['/queues', '/queues/', '/queues/api/queues', '/queues/static/x.js', '/queues/%2e%2e/queues']) {
    expect((await ask(app, path)).status).toBe(401);
    for (const scope of ['submit', 'read', 'control'] as const)
      expect([path, (await ask(app, path, { headers: single.get(scope)!.headers })).status]).toEqual([path, 403]);
  }
  expect((await ask(app, '/queues/', { headers: admin.headers })).status).toBe(200);
});

test('what is being read without a key ends within 2 s of the first one', async () => {
  const open = await openApp();
  try {
    const { body } = await post(open, { handler: 'echo', count: 1 });
    const response = await fetch(`${open.url}/v1/batches/${body.id}/events`);
    const reader = response.body!.getReader();
    await reader.read();
    let isOpen = true;
    const read = async (): Promise<void> => ((await reader.read()).done ? undefined : read());
    void read().catch(() => undefined).finally(() => (isOpen = false)); // prettier-ignore
    await keyFor(open, ['admin']);
    await eventually('it is cut', () => !isOpen, 3000);
  } finally {
    await open.close();
  }
});

test('what is not there is told to those with a key only', async () => {
  for (const path of ['/v1/nothing', '/v2', '/.env', '/v1/batches/../keys', '/V1/batches', '//v1/keys'])
    expect([path, (await ask(app, path)).status]).toEqual([path, 401]);
  expect((await ask(app, '/v1/nothing', { headers: admin.headers })).status).toBe(404);
  expect((await ask(app, '/v1/keys', { method: 'PUT', headers: admin.headers })).status).toBe(405);
});

test('a browser sends its key as a password, for what only reads', async () => {
  const basic = { authorization: `Basic ${btoa(`me:${admin.key}`)}` };
  for (const path of ['/', '/docs', '/queues/', '/metrics'])
    expect([path, (await ask(app, path, { headers: basic })).status]).toEqual([path, 200]);
  expect((await ask(app, '/docs')).headers['www-authenticate']).toMatch(/Bearer, Basic realm=/);
  // Pages have links to these; a browser asks for the password by itself for pages alone.
  expect((await ask(app, '/v1/batches', { headers: basic })).status).toBe(200);
  expect((await ask(app, '/v1/batches')).headers['www-authenticate']).toBe('Bearer');
  const changes = await ask(app, '/v1/handlers/echo/limits', { method: 'PUT', headers: basic });
  expect([changes.status, changes.headers['www-authenticate']]).toEqual([401, 'Bearer']);
});

test('with keys readiness says to strangers only whether', async () => {
  const sick = await openApp({ readiness: async () => ['PostgreSQL at 10.0.0.7 does not answer'] });
  try {
    const key = await keyFor(sick, ['admin']);
    const stranger = await ask(sick, '/readyz');
    expect(stranger.status).toBe(503);
    expect(stranger.text).not.toContain('10.0.0.7');
    expect((await ask(sick, '/readyz', { headers: key.headers })).text).toContain('10.0.0.7');
  } finally {
    await sick.close();
  }
});

test('each control call is in the audit with the key that asked', async () => {
  const { body } = await post(app, { handler: 'echo', count: 1 }, admin.headers);
  const { id, headers } = single.get('control')!;
  for (const action of ['pause', 'resume', 'cancel', 'cancel'])
    await ask(app, `/v1/batches/${body.id}/${action}`, { method: 'POST', headers });
  await ask(app, `/v1/batches/${body.id}`, { method: 'DELETE', headers });
  const rows = await app.database.db.execute(
    sql`select who, action, changed from audit where target = ${body.id} order by no`,
  );
  const who = `control of  (${id})`;
  expect(rows).toEqual([
    { who, action: 'pause', changed: true },
    { who, action: 'resume', changed: true },
    { who, action: 'cancel', changed: true },
    { who, action: 'cancel', changed: false },
    { who, action: 'delete', changed: true },
  ]);
});

test('a key may ask so many times a second, and others are not held up by it', async () => {
  const slow = await keyFor(app, ['read'], { rate: 5 });
  const statuses = await Promise.all(
    Array.from({ length: 30 }, async () => await ask(app, '/v1/workers', { headers: slow.headers })),
  );
  const limited = statuses.filter(({ status }) => status === 429);
  expect(limited.length).toBeGreaterThanOrEqual(20);
  expect(limited[0]!.body).toMatchObject({
    type: '/problems/rate-limited',
    detail: 'The key may ask 5 times a second',
  });
  expect(limited[0]!.headers['retry-after']).toBe('1');
  expect((await ask(app, '/v1/workers', { headers: admin.headers })).status).toBe(200);
});

test('what is being read ends within 2 s when its key is revoked, and what other keys read goes on', async () => {
  const { body } = await post(app, { handler: 'echo', count: 1 }, admin.headers);
  const following = async (key: TestKey) => {
    const response = await fetch(`${app.url}/v1/batches/${body.id}/events`, { headers: key.headers });
    const reader = response.body!.getReader();
    await reader.read();
    let isOpen = true;
    const over = (): void => void (isOpen = false);
    const read = async (): Promise<void> => ((await reader.read()).done ? over() : read());
    void read().catch(over);
    return { isOpen: () => isOpen, leave: () => reader.cancel() };
  };
  const key = await keyFor(app, ['read']);
  const [revoked, other] = [await following(key), await following(admin)];
  await ask(app, `/v1/keys/${key.id}`, { method: 'DELETE', headers: admin.headers });
  await eventually('it is cut', () => !revoked.isOpen(), 3000);
  expect(other.isOpen()).toBe(true);
  await other.leave();
});

describe('the log', () => {
  const refusedFrom = async (trustProxy: string[] | undefined): Promise<unknown> => {
    const told: { from?: unknown }[] = [];
    const quiet = createLog({ name: 'test', level: 'silent', pretty: false });
    const log = Object.assign(Object.create(quiet) as typeof quiet, { warn: (facts: object) => void told.push(facts) });
    const noted = await openApp({ log, settings: { trustProxy } });
    try {
      await keyFor(noted, ['admin']);
      told.length = 0;
      const forwarded = { 'x-forwarded-for': '198.51.100.9, 203.0.113.7' };
      for (let n = 0; n < 50; n += 1) await ask(noted, '/v1/batches', { headers: forwarded });
      expect(told).toHaveLength(1);
      expect(JSON.stringify(told)).not.toMatch(/bp_[a-z0-9]/);
      return told[0]!.from;
    } finally {
      await noted.close();
    }
  };

  it('names who was refused, once in a while, and believes only proxies that are trusted', async () => {
    expect(await refusedFrom(undefined)).toBe('127.0.0.1');
    expect(await refusedFrom(['loopback'])).toBe('203.0.113.7');
  });
});
