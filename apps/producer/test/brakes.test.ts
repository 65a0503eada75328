import { checkLedger } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { type Answer, ask, openApp, post, type TestApp, work } from './http-app.ts';

let app: TestApp;
beforeAll(async () => void (app = await openApp()));
afterAll(() => app.close());
beforeEach(() => app.database.db.execute(sql`delete from batches`));

const make = async (body: object): Promise<string> => {
  const answer = await post(app, { handler: 'echo', count: 400, ...body });
  expect(answer.status, answer.text).toBe(202);
  return answer.body.id;
};
const resume = (id: string): Promise<Answer> => ask(app, `/v1/batches/${id}/resume`, { method: 'POST' });
const all = (n: number, from = 0): Set<number> => new Set(Array.from({ length: n }, (_, i) => from + i));

describe('a batch', () => {
  it('pauses at so many failures, goes on until the next after a resume, and to its end where that is taken away', async () => {
    const id = await make({ options: { chunkSize: 20, maxFailures: 30 } });
    const fail = all(400);
    await work(app.database, { chunks: 1, fail });
    expect((await app.client.getBatch(id)).state).toBe('running');
    await work(app.database, { chunks: 1, fail });
    expect(await app.client.getBatch(id)).toMatchObject({
      state: 'paused',
      stateReason: 'max-failures',
      counts: { failed: 40 },
    });
    expect(await work(app.database)).toBe(0);
    expect((await resume(id)).body).toMatchObject({ state: 'running', stateReason: null });
    await work(app.database, { chunks: 2 });
    expect((await app.client.getBatch(id)).state).toBe('running');
    await work(app.database, { chunks: 1, fail });
    expect((await app.client.getBatch(id)).stateReason).toBe('max-failures');
    expect((await app.client.changeBatch(id, { options: { maxFailures: null } })).options).not.toHaveProperty(
      'maxFailures',
    );
    await resume(id);
    await work(app.database, { fail });
    expect(await app.client.getBatch(id)).toMatchObject({ state: 'completed', counts: { succeeded: 40, failed: 360 } });
    expect(await checkLedger(app.database)).toEqual([]);
  });

  it('pauses where more than a part of the first hundred and more failed', async () => {
    const id = await make({ options: { chunkSize: 20, maxFailureRate: 0.1 } });
    await work(app.database, { chunks: 1, fail: all(10) });
    await work(app.database, { chunks: 3 });
    // 10 of 80: it is too soon to say.
    expect((await app.client.getBatch(id)).state).toBe('running');
    await work(app.database, { chunks: 1 });
    // 10 of 100 are no more than a tenth.
    expect((await app.client.getBatch(id)).state).toBe('running');
    await work(app.database, { chunks: 1, fail: all(3, 100) });
    expect(await app.client.getBatch(id)).toMatchObject({ state: 'paused', stateReason: 'max-failures' });
    await app.client.changeBatch(id, { options: { maxFailureRate: 0.5 } });
    await resume(id);
    await work(app.database);
    expect(await app.client.getBatch(id)).toMatchObject({ state: 'completed' });
  });

  it.each([
    ['a count', () => make({ options: { canary: 33, chunkSize: 20 } })],
    ['inputs', () => make({ count: undefined, inputs: Array(400).fill(1), options: { canary: 33, chunkSize: 20 } })],
    ['a stream', async () => {
      const lines = '1\n'.repeat(400);
      const type = { 'content-type': 'application/x-ndjson' };
      return (await post(app, lines, type, '/v1/batches?handler=echo&canary=33&chunkSize=20')).body.id as string;
    }],
    ['large JSON', () => make({ count: undefined, inputs: Array(400).fill('x'.repeat(1000)), options: { canary: 33, chunkSize: 20 } })],
  ])('of %s holds after exactly its canary, and resume releases the rest', async (_, submit) => {
    const id = await submit();
    expect(await work(app.database)).toBe(33);
    expect(await work(app.database)).toBe(0);
    expect(await app.client.getBatch(id)).toMatchObject({ state: 'paused', stateReason: 'canary', counts: { succeeded: 33, pending: 367 } });
    expect((await app.client.results(id, { limit: 1000 })).items.map(({ index }) => index)).toEqual([...all(33)]);
    await resume(id);
    expect(await work(app.database)).toBe(367);
    expect(await app.client.getBatch(id)).toMatchObject({ state: 'completed', counts: { succeeded: 400 } });
    expect(await checkLedger(app.database)).toEqual([]);
  }); // prettier-ignore

  it('whose canary is as large as it is completes; one that was paused by hand meanwhile is released too', async () => {
    const whole = await make({ count: 40, options: { canary: 40 } });
    await work(app.database);
    expect((await app.client.getBatch(whole)).state).toBe('completed');
    const id = await make({ options: { canary: 40, chunkSize: 40 } });
    await work(app.database, { hold: true });
    await ask(app, `/v1/batches/${id}/pause`, { method: 'POST' });
    await app.database.db.execute(sql`
      update batches set succeeded = 40 where id = ${id}::uuid`);
    await app.database.db.execute(sql`update chunks set state = 'done' where state = 'running'`);
    await resume(id);
    expect(await work(app.database)).toBe(360);
  });

  it('starts nothing before its time, in lines neither, and keeps nobody from work', async () => {
    const at = new Date(Date.now() + 3_600_000).toISOString();
    const id = await make({ options: { notBefore: at } });
    const inputs = [{ k: 1 }, { k: 2 }];
    const keyed = await make({
      count: undefined,
      inputs,
      options: { notBefore: at.replace('Z', '+00:00'), groupBy: 'k' },
    });
    expect((await app.client.getBatch(keyed)).options).toMatchObject({ notBefore: at });
    expect(await work(app.database)).toBe(0);
    const { statements } = app.database;
    expect(await statements.markLines({ handlers: ['echo'], slots: [0, 1, 2, 3], most: 4 })).toEqual([]);
    expect(await statements.windows({ leaseMs: 5000 })).toMatchObject({ newcomers: false });
    await app.database.db.execute(sql`update batches set not_before = now() - interval '1 ms'`);
    expect(await statements.windows({ leaseMs: 5000 })).toMatchObject({ newcomers: true });
    expect(await work(app.database)).toBe(400);
    expect(await statements.markLines({ handlers: ['echo'], slots: [0, 1, 2, 3], most: 4 })).not.toEqual([]);
    expect((await app.client.getBatch(id)).state).toBe('completed');
  });
});

test('a stream says them in its query', async () => {
  const notBefore = new Date(Date.now() + 3_600_000).toISOString();
  const query = `handler=echo&maxFailures=5&maxFailureRate=0.25&keepResults=failed&notBefore=${notBefore}`;
  const { body } = await post(app, '1\n', { 'content-type': 'application/x-ndjson' }, `/v1/batches?${query}`);
  expect(body.options).toMatchObject({ maxFailures: 5, maxFailureRate: 0.25, keepResults: 'failed', notBefore });
});

test('a time that is over is refused, but not to who asks again under its key', async () => {
  const over = new Date(Date.now() - 120_000).toISOString();
  const past = { status: 422, body: { errors: [{ message: 'is in the past' }] } };
  const lines = { 'content-type': 'application/x-ndjson' };
  const path = `/v1/batches?handler=echo&notBefore=${over}`;
  const ways = [
    (key: object) => post(app, { handler: 'echo', count: 1, options: { notBefore: over } }, { ...key }),
    (key: object) => post(app, '1\n', { ...lines, ...key }, path),
  ];
  for (const send of ways) expect(await send({})).toMatchObject(past);
  expect(await post(app, '1\n', lines, `${path}&validate=only`)).toMatchObject({
    status: 422,
    body: { errors: [{ pointer: '?notBefore' }] },
  });
  for (const [n, send] of ways.entries()) {
    const key = { 'idempotency-key': `again-${n}` };
    // As it would have been answered two minutes ago.
    vi.spyOn(Date, 'now').mockReturnValue(Date.parse(over) - 1000);
    const before = await send(key);
    vi.restoreAllMocks();
    const again = await send(key);
    expect([before.status, again.status, again.body.id]).toEqual([202, 202, before.body.id]);
    expect(await send({ 'idempotency-key': 'another' })).toMatchObject(past);
  }
});

describe('refused are', () => {
  const bodies: [object, string][] = [
    [{ maxFailures: 0 }, 'maxFailures'],
    [{ maxFailures: 1.5 }, 'maxFailures'],
    [{ maxFailureRate: 1.1 }, 'maxFailureRate'],
    [{ maxFailureRate: '5%' }, 'maxFailureRate'],
    [{ canary: 0 }, 'canary'],
    [{ canary: 5, open: true }, 'canary'],
    [{ canary: 5, groupBy: 'k' }, 'canary'],
    [{ notBefore: 'tomorrow' }, 'notBefore'],
    [{ notBefore: '2026-01-31T18:00:00' }, 'notBefore'],
    [{ notBefore: '2999-01-31T18:00:00Z' }, 'notBefore'],
    [{ notBefore: '2026-01-31T18:00:00Z' }, 'notBefore'],
    [{ notBefore: 5 }, 'notBefore'],
    [{ keepResults: 'none' }, 'keepResults'],
  ];
  test.each(bodies)('%j', async (options, name) => {
    const refused = { status: 422, body: { errors: [{ pointer: `/options/${name}` }] } };
    const { open } = options as { open?: boolean };
    expect(await post(app, { handler: 'echo', inputs: open ? undefined : [{ k: 1 }], options })).toMatchObject(refused);
    expect((await app.client.listBatches()).items).toEqual([]);
  });

  test.each([{ canary: 5 }, { notBefore: '2026-01-31T18:00:00Z' }, { keepResults: 'all' }, { maxFailures: 0 }])(
    'to change %j of one that runs',
    async (options) => {
      const id = await make({});
      const type = { 'content-type': 'application/json' };
      const answer = await ask(app, `/v1/batches/${id}`, {
        method: 'PATCH',
        headers: type,
        body: JSON.stringify({ options }),
      });
      expect(answer).toMatchObject({
        status: 422,
        body: { errors: [{ pointer: `/options/${Object.keys(options)[0]}` }] },
      });
    },
  );
});
