import { openApi, scopes } from '@bullpen/api';
import { checkLedger } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { type Answer, ask, openApp, type TestApp, work } from './http-app.ts';
import { keyFor, type TestKey } from './http-keys.ts';
import { operationsOf, sampleOf } from './requests.ts';

/** Stands in all that belongs to the one owner: in no answer to the other one. */
const mark = 'zebra';
/** Batches of one owner by what they are. */
const kinds = ['done', 'failed', 'open', 'paused', 'jobs', 'running'] as const;
type Batches = Record<(typeof kinds)[number], string>;

let app: TestApp;
let admin: TestKey;
let acme: TestKey;
let other: TestKey;
let batches: Batches;
let before: unknown;

const operations = operationsOf(openApi('1.0.0') as unknown as Parameters<typeof operationsOf>[0]);

const send = (
  key: TestKey,
  method: string,
  path: string,
  body?: unknown,
  more: Record<string, string> = {},
): Promise<Answer> =>
  ask(app, path, {
    method,
    headers: { ...key.headers, ...(body !== undefined && { 'content-type': 'application/json' }), ...more },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

/** All that is stored of the owner. */
const everything = async (): Promise<unknown> => {
  const tables = ['batches', 'chunks', 'inputs', 'results', 'idempotency', 'limits', 'webhooks'];
  return Promise.all(
    tables.map(async (table) => {
      const rows = await app.database.db.execute(
        sql`select to_json(t) as row from ${sql.identifier(table)} t where to_jsonb(t) ->> 'owner' = 'acme'
          or (to_jsonb(t) ->> 'batch') in (select no::text from batches where owner = 'acme') order by 1::text`,
      );
      return [table, JSON.stringify(rows)];
    }),
  );
};

async function makeBatches(): Promise<Batches> {
  const submit = async (body: object): Promise<string> =>
    (await send(acme, 'POST', '/v1/batches', { handler: 'echo', name: mark, params: { [mark]: 1 }, ...body })).body.id;
  const done = await submit({ inputs: [mark, mark, mark], options: { rateLimit: { limit: 5 } } });
  await work(app.database);
  const failed = await submit({ inputs: [mark, mark] });
  await work(app.database, { fail: new Set([0, 1]) });
  const open = await submit({ inputs: [mark], options: { open: true } });
  const paused = await submit({ inputs: [mark] });
  await send(acme, 'POST', `/v1/batches/${paused}/pause`);
  const { body } = await send(acme, 'POST', '/v1/jobs/echo', mark, { 'idempotency-key': mark });
  const running = await submit({ inputs: [mark] });
  return { done, failed, open, paused, jobs: body.batchId, running };
}

beforeAll(async () => {
  app = await openApp();
  admin = await keyFor(app, ['admin']);
  acme = await keyFor(app, [...scopes], { owner: 'acme' });
  other = await keyFor(app, [...scopes], { owner: 'other' });
  batches = await makeBatches();
  before = await everything();
});
afterAll(() => app.close());

const ofBatches = operations.filter(({ path }) => path.includes('/v1/batches/{id}'));
const rest = operations.filter(({ path, id }) => !path.includes('{id}') && id !== 'createKey');

describe.each(ofBatches.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
  '%s',
  (_, { path, method, id }) => {
    it.each(kinds)('of a batch of another owner that is %s is as of one that is not there', async (kind) => {
      const sample = sampleOf(id);
      const asked = async (batch: string): Promise<{ status: number; body: unknown }> => {
        const target = path.replace('{id}', batch).replace('{index}', '0');
        const answer = await ask(app, target, {
          method: method.toUpperCase(),
          headers: { ...sample.headers, ...other.headers },
          ...(sample.body !== undefined && { body: sample.body }),
        });
        expect(answer.text).not.toContain(mark);
        return { status: answer.status, body: { ...answer.body, instance: '' } };
      };
      const found = await asked(batches[kind]);
      expect(found.status).toBe(404);
      expect(found).toEqual(await asked('0198c3a4-0000-7000-8000-000000000000'));
    });
  },
);

test('none of that has changed anything', async () => {
  expect(await everything()).toEqual(before);
  expect(await checkLedger(app.database)).toEqual([]);
});

describe('what is no batch', () => {
  it.each(rest.map(({ path, method, id }) => [method, path, id] as const))(
    '%s %s shows nothing of another owner',
    async (method, path, id) => {
      const sample = sampleOf(id);
      const target = path.replace('{handler}', 'echo').replace('{name}', 'echo');
      const answer = await ask(app, target, {
        method: method.toUpperCase(),
        headers: { ...sample.headers, ...other.headers },
        ...(sample.body !== undefined && { body: sample.body }),
      });
      expect(answer.status).toBeLessThan(300);
      expect(answer.text).not.toContain(mark);
      for (const batch of Object.values(batches)) expect(answer.text).not.toContain(batch);
    },
  );

  it('each sees its own, and who has no owner what came without', async () => {
    const listOf = async (key: TestKey, query = ''): Promise<string[]> =>
      (await send(key, 'GET', `/v1/batches${query}`)).body.items.map(({ id }: { id: string }) => id);
    const { jobs, ...own } = batches;
    expect((await listOf(acme)).sort()).toEqual(Object.values(own).sort());
    expect(await listOf(acme, '?kind=jobs')).toEqual([jobs]);
    expect(await listOf(admin)).toEqual([]);
  });
});

describe('of another owner', () => {
  it('a cursor is worthless', async () => {
    const { body } = await send(acme, 'GET', '/v1/batches?limit=1');
    const results = await send(acme, 'GET', `/v1/batches/${batches.done}/results?limit=1`);
    expect([body.nextCursor, results.body.nextCursor]).toEqual([expect.any(String), expect.any(String)]);
    expect((await send(acme, 'GET', `/v1/batches?limit=1&cursor=${body.nextCursor}`)).status).toBe(200);
    expect(await send(other, 'GET', `/v1/batches?limit=1&cursor=${body.nextCursor}`)).toMatchObject({
      status: 422,
      body: { errors: [{ pointer: '?cursor' }] },
    });
    const mine = (await send(other, 'POST', '/v1/batches', { handler: 'echo', count: 5 })).body.id;
    expect((await send(other, 'GET', `/v1/batches/${mine}/results?cursor=${results.body.nextCursor}`)).status).toBe(
      422,
    );
  });

  it('an Idempotency-Key is another one: nothing is answered again, nothing is in the way', async () => {
    const ways: [string, unknown, Record<string, string>][] = [
      ['/v1/batches', { handler: 'echo', inputs: [1] }, {}],
      ['/v1/batches?handler=echo', 1, { 'content-type': 'application/x-ndjson' }],
      ['/v1/jobs/echo', 1, {}],
    ];
    for (const [n, [path, body, more]] of ways.entries()) {
      const key = { ...more, 'idempotency-key': `same-${n}` };
      const [first, again] = [await send(acme, 'POST', path, body, key), await send(acme, 'POST', path, body, key)];
      expect([first.status, again.status, again.headers['idempotency-replayed']]).toEqual([202, 202, 'true']);
      const theirs = await send(other, 'POST', path, body, key);
      expect([theirs.status, theirs.headers['idempotency-replayed']]).toEqual([202, undefined]);
      const idOf = ({ body }: Answer): string => body.id ?? body.batchId;
      expect(idOf(again)).toBe(idOf(first));
      expect(idOf(theirs)).not.toBe(idOf(first));
    }
  });

  it('an append under the same key goes to its own batch', async () => {
    const open = async (key: TestKey): Promise<string> =>
      (await send(key, 'POST', '/v1/batches', { handler: 'echo', inputs: [1], options: { open: true } })).body.id;
    const [mine, theirs] = [await open(acme), await open(other)];
    const append = (key: TestKey, id: string) =>
      send(key, 'POST', `/v1/batches/${id}/items`, [1], { 'idempotency-key': 'append' });
    expect((await append(acme, mine)).body).toMatchObject({ batchId: mine, firstIndex: 1 });
    expect((await append(other, theirs)).body).toMatchObject({ batchId: theirs, firstIndex: 1 });
    expect((await append(acme, mine)).headers['idempotency-replayed']).toBe('true');
  });

  it('work is in the fair order beside its own', async () => {
    const rows = await app.database.db.execute(sql`select owner from owners order by 1`);
    expect(rows).toEqual([{ owner: '' }, { owner: 'acme' }, { owner: 'other' }]);
    await work(app.database);
    await work(app.database);
    const [{ left }] = (await app.database.db.execute(
      sql`select count(*)::int as left from batches where owner = 'other' and state = 'running' and sealed`,
    )) as unknown as [{ left: number }];
    expect(left).toBe(0);
  });
});
