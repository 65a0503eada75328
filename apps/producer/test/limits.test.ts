import { ApiError, batchSchema, handlerListSchema } from '@bullpen/api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, openApp, post, type TestApp, work } from './http-app.ts';

let app: TestApp;
beforeAll(async () => {
  app = await openApp();
});
afterAll(() => app.close());

const json = { 'content-type': 'application/json' };
const send = (method: string, path: string, body: unknown) =>
  ask(app, path, { method, headers: json, body: typeof body === 'string' ? body : JSON.stringify(body) });
const make = async (options: object = {}): Promise<string> =>
  (await post(app, { handler: 'echo', count: 100, options })).body.id;

describe('the limits of a batch', () => {
  test('are shown with what was left out', async () => {
    const { body } = await post(app, {
      handler: 'echo',
      count: 1,
      options: { rateLimit: { limit: 50 }, concurrency: 3 },
    });
    expect(batchSchema.parse(body).options).toMatchObject({
      rateLimit: { limit: 50, perMs: 1000, cost: 1 },
      concurrency: 3,
    });
  });

  test('of a stream stand in the header', async () => {
    const options = { rateLimit: { limit: 3000, perMs: 60_000, cost: 2 } };
    const lines = { 'content-type': 'application/x-ndjson' };
    const header = Buffer.from(JSON.stringify({ options })).toString('base64url');
    const sent = await ask(app, '/v1/batches?handler=echo&concurrency=7', {
      method: 'POST',
      headers: { ...lines, 'bullpen-options': header },
      body: '1\n2\n',
    });
    expect(sent.body.options).toMatchObject({ ...options, concurrency: 7 });
    const refused = await ask(app, '/v1/batches?handler=echo&rateLimit=50/s', {
      method: 'POST',
      headers: lines,
      body: '1\n',
    });
    expect(refused.status).toBe(422);
    expect(refused.body.errors).toEqual([{ pointer: '?rateLimit', message: 'goes into the header Bullpen-Options' }]);
  });

  test('are changed, and taken away by null; what is left out stays', async () => {
    const id = await make({ rateLimit: { limit: 50 }, concurrency: 3 });
    const before = app.accepted();
    const changed = await app.client.changeBatch(id, { name: 'slow', options: { rateLimit: { limit: 5, cost: 2 } } });
    expect(changed).toMatchObject({
      id,
      name: 'slow',
      options: { rateLimit: { limit: 5, perMs: 1000, cost: 2 }, concurrency: 3, maxAttempts: 3 },
    });
    expect(app.accepted()).toBe(before + 1);
    const { options } = await app.client.changeBatch(id, { options: { rateLimit: null, concurrency: null } });
    expect(options).not.toHaveProperty('rateLimit');
    expect(options).not.toHaveProperty('concurrency');
    expect(await app.client.changeBatch(id, {})).toMatchObject({ name: 'slow' });
    expect(await app.client.changeBatch(id, { name: null })).toMatchObject({ name: null });
  });

  test('and its place beside others too: another priority moves it by the offset', async () => {
    const id = await make();
    const passOf = async (): Promise<number> =>
      (await app.database.client<{ pass: number }[]>`select pass from bullpen.batches where id = ${id}`)[0]!.pass;
    const pass = await passOf();
    expect(await app.client.changeBatch(id, { options: { priority: 3, weight: 7 } })).toMatchObject({
      options: { priority: 3, weight: 7 },
    });
    expect(await passOf()).toBe(pass + 3_000_000);
    await app.client.changeBatch(id, { options: { priority: 1 } });
    await app.client.changeBatch(id, { options: { priority: 1 } });
    expect(await passOf()).toBe(pass + 1_000_000);
    const [row] = await app.database.client`select priority, weight from bullpen.batches where id = ${id}`;
    expect(row).toEqual({ priority: 1, weight: 7 });
  });

  test('keep what an item costs where only the rate is another one', async () => {
    const id = await make({ rateLimit: { limit: 50, cost: 2 } });
    const set = async (rateLimit: object | null) =>
      (await app.client.changeBatch(id, { options: { rateLimit: rateLimit as never } })).options.rateLimit;
    expect(await set({ limit: 500 })).toEqual({ limit: 500, perMs: 1000, cost: 2 });
    expect(await set({ limit: 500, cost: 3 })).toEqual({ limit: 500, perMs: 1000, cost: 3 });
    expect(await set(null)).toBeUndefined();
    expect(await set({ limit: 5 })).toEqual({ limit: 5, perMs: 1000, cost: 1 });
  });

  test('of one that has ended do not change any more', async () => {
    const id = await make();
    await work(app.database);
    const answer = await send('PATCH', `/v1/batches/${id}`, { options: { concurrency: 1 } });
    expect(answer).toMatchObject({ status: 409, body: { type: '/problems/invalid-state' } });
    expect(answer.body.detail).toMatch(/is completed/);
  });
});

describe('the limits of a handler', () => {
  test('are set, shown, set anew and taken away', async () => {
    const shown = async (): Promise<unknown> =>
      handlerListSchema.parse(await app.client.handlers()).items.find(({ name }) => name === 'echo')!.limits;
    const none = { rateLimit: null, concurrency: null };
    expect(await shown()).toEqual(none);
    const some = { rateLimit: { limit: 100, perMs: 1000 }, concurrency: 4 };
    expect(await app.client.limitHandler('echo', { rateLimit: { limit: 100 }, concurrency: 4 })).toEqual(some);
    expect(await shown()).toEqual(some);
    expect(await app.client.limitHandler('echo', { concurrency: 9 })).toEqual({ rateLimit: null, concurrency: 9 });
    expect(await app.client.limitHandler('echo', {})).toEqual(none);
    expect(await shown()).toEqual(none);
    await expect(app.client.limitHandler('nobody', {})).rejects.toThrow(ApiError);
  });
});

describe('what is not allowed', () => {
  const withInputs = { handler: 'echo', inputs: [1] };
  const rates: [unknown, string][] = [
    [{ limit: 0 }, '/limit'],
    [{ limit: 1_000_001 }, '/limit'],
    [{ limit: 1.5 }, '/limit'],
    [{}, '/limit'],
    [{ limit: 1, perMs: 0 }, '/perMs'],
    [{ limit: 1, perMs: 86_400_001 }, '/perMs'],
    [{ limit: 1, per: 1 }, '/per'],
    ['50/s', ''],
    [null, ''],
  ];
  test.each(rates)('a rate of %j in a new batch', async (rateLimit, pointer) => {
    const answer = await post(app, { ...withInputs, options: { rateLimit } });
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ pointer: `/options/rateLimit${pointer}` }] } });
  });

  const bodies: [string, string, unknown, number, string, string | undefined][] = [
    ['PATCH', '', { options: { rateLimit: { limit: 0 } } }, 422, 'invalid', '/options/rateLimit/limit'],
    ['PATCH', '', { options: { rateLimit: { limit: 1, cost: 1001 } } }, 422, 'invalid', '/options/rateLimit/cost'],
    ['PATCH', '', { options: { concurrency: 0 } }, 422, 'invalid', '/options/concurrency'],
    ['PATCH', '', { options: { concurrency: 100_001 } }, 422, 'invalid', '/options/concurrency'],
    ['PATCH', '', { options: { priority: 10 } }, 422, 'invalid', '/options/priority'],
    ['PATCH', '', { options: { weight: 0 } }, 422, 'invalid', '/options/weight'],
    ['PATCH', '', { options: { chunkSize: 5 } }, 422, 'invalid', '/options/chunkSize'],
    ['PATCH', '', { options: { maxFailures: 0 } }, 422, 'invalid', '/options/maxFailures'],
    ['PATCH', '', { options: { maxFailureRate: 1.1 } }, 422, 'invalid', '/options/maxFailureRate'],
    ['PATCH', '', { options: { webhook: {} } }, 422, 'invalid', '/options/webhook'],
    ['PATCH', '', { options: [] }, 422, 'invalid', '/options'],
    ['PATCH', '', { name: '' }, 422, 'invalid', '/name'],
    ['PATCH', '', { state: 'paused' }, 422, 'invalid', '/state'],
    ['PATCH', '', 'null', 422, 'invalid', ''],
    ['PATCH', '', '{', 400, 'malformed', undefined],
    ['PATCH', '', `{"name":"${'x'.repeat(20_000)}"}`, 413, 'too-large', undefined],
    ['PATCH', '?x=1', {}, 422, 'invalid', '?x'],
    ['PUT', '', {}, 405, 'method-not-allowed', undefined],
  ];
  test.each(bodies)('%s %s %j', async (method, query, body, status, slug, pointer) => {
    const id = await make();
    const answer = await send(method, `/v1/batches/${id}${query}`, body);
    expect(answer).toMatchObject({ status, body: { type: `/problems/${slug}` } });
    if (pointer !== undefined) expect(answer.body.errors[0].pointer).toBe(pointer);
  });

  test.each([
    [{ rateLimit: { limit: 1, cost: 2 } }, '/rateLimit/cost'],
    [{ rateLimit: 5 }, '/rateLimit'],
    [{ concurrency: -1 }, '/concurrency'],
    [{ weight: 2 }, '/weight'],
    ['[]', ''],
  ])('PUT limits %j', async (body, pointer) => {
    const answer = await send('PUT', '/v1/handlers/echo/limits', body);
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ pointer }] } });
  });

  test('limits of groups without groups', async () => {
    const options = { groupRateLimit: { limit: 1 } };
    expect(await post(app, { ...withInputs, options })).toMatchObject({
      status: 422,
      body: { errors: [{ pointer: '/options/groupRateLimit' }] },
    });
    const grouped = await post(app, { ...withInputs, inputs: [{ k: 1 }], options: { ...options, groupBy: 'k' } });
    expect(grouped.body.options).toMatchObject({ groupRateLimit: { limit: 1, perMs: 1000 } });
  });
});
