import { randomUUID } from 'node:crypto';
import { checkLedger } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { type Answer, ask, openApp, post, type TestApp, work } from './http-app.ts';

let app: TestApp;
beforeAll(async () => void (app = await openApp()));
afterAll(() => app.close());

const make = async (body: object = {}): Promise<string> =>
  (await post(app, { handler: 'echo', count: 40, ...body })).body.id;
const control = (id: string, action: string, body?: object): Promise<Answer> =>
  body === undefined
    ? ask(app, `/v1/batches/${id}/${action}`, { method: 'POST' })
    : post(app, body, {}, `/v1/batches/${id}/${action}`);
const audit = async (id: string): Promise<object[]> =>
  app.database.db.execute(sql`select action, changed, who, detail from audit where target = ${id} order by no`);
const conflict = (detail: RegExp): object => ({
  status: 409,
  body: { type: '/problems/invalid-state', detail: expect.stringMatching(detail) },
});

describe('a batch', () => {
  it('is paused and goes on, and each call can be repeated', async () => {
    const id = await make();
    for (let n = 0; n < 2; n += 1)
      expect(await control(id, 'pause')).toMatchObject({
        status: 200,
        body: { id, state: 'paused', stateReason: 'user' },
      });
    expect(await work(app.database)).toBe(0);
    const accepted = app.accepted();
    for (let n = 0; n < 2; n += 1)
      expect(await control(id, 'resume')).toMatchObject({ status: 200, body: { state: 'running', stateReason: null } });
    // It is published at once, and not by a call that changed nothing.
    expect(app.accepted()).toBe(accepted + 1);
    expect(await work(app.database)).toBe(40);
    const ended = conflict(/is completed: /);
    for (const action of ['pause', 'resume', 'cancel']) expect(await control(id, action)).toMatchObject(ended);
    expect((await audit(id)).slice(0, 4)).toEqual([
      { action: 'pause', changed: true, who: null, detail: null },
      { action: 'pause', changed: false, who: null, detail: null },
      { action: 'resume', changed: true, who: null, detail: null },
      { action: 'resume', changed: false, who: null, detail: null },
    ]);
  });

  it('takes no body with a call that has nothing to say', async () => {
    const id = await make();
    const json = { 'content-type': 'application/json' };
    for (const action of ['pause', 'resume', 'cancel', 'close'])
      expect(await post(app, { foo: 1 }, {}, `/v1/batches/${id}/${action}`)).toMatchObject({
        status: 422,
        body: { type: '/problems/invalid' },
      });
    expect((await ask(app, `/v1/batches/${id}/pause`, { method: 'POST', headers: json, body: '{"foo"' })).status).toBe(
      400,
    );
    expect(await post(app, {}, {}, `/v1/batches/${id}/cancel`)).toMatchObject({ status: 200 });
    const path = `/v1/batches/${id}`;
    const headers = { ...json, 'content-length': '9' };
    for (const each of [path, '/v1/keys/any'])
      expect((await ask(app, each, { method: 'DELETE', headers, body: '{"foo":1}' })).status).toBe(422);
    expect((await ask(app, path, { method: 'DELETE' })).status).toBe(204);
  });

  it('is completed by resume where its last item was settled while it was paused', async () => {
    const id = await make({ count: 3 });
    await app.database.db.execute(sql`update batches set succeeded = 3 where id = ${id}::uuid`);
    await control(id, 'pause');
    expect(await control(id, 'resume')).toMatchObject({ status: 200, body: { state: 'completed' } });
    await app.database.db.execute(sql`delete from batches where id = ${id}::uuid`);
  });

  it('was resumed, though a failure pauses it again before the answer', async () => {
    const id = await make({ options: { maxFailures: 1 } });
    await control(id, 'pause');
    await app.database.db.execute(sql`
      create function pause_again() returns trigger language plpgsql as $$ begin
        new.state := 'paused'; new.reason := 'max-failures'; return new; end $$`);
    await app.database.db.execute(sql`
      create trigger pause_again before update on batches for each row when (old.state = 'paused') execute function pause_again()`);
    expect(await control(id, 'resume')).toMatchObject({
      status: 200,
      body: { state: 'paused', stateReason: 'max-failures' },
    });
    await app.database.db.execute(sql`drop trigger pause_again on batches`);
    await control(id, 'cancel');
  });

  it('is cancelled, keeps what was done, and its counts sum to the total', async () => {
    const id = await make({ options: { chunkSize: 10 } });
    expect(await work(app.database, { chunks: 1, fail: new Set([1]) })).toBe(10);
    const counts = { total: 40, succeeded: 9, failed: 1, running: 0, pending: 0, cancelled: 30 };
    for (let n = 0; n < 2; n += 1)
      expect(await control(id, 'cancel')).toMatchObject({ status: 200, body: { state: 'cancelled', counts } });
    expect(await work(app.database)).toBe(0);
    expect((await app.client.results(id)).items).toHaveLength(10);
    for (const action of ['pause', 'resume', 'retry'])
      expect(await control(id, action)).toMatchObject(conflict(/is cancelled: /));
    expect(await ask(app, `/v1/batches/${id}?wait=5`)).toMatchObject({ body: { counts } });
    expect((await ask(app, `/v1/batches/${id}`, { method: 'DELETE' })).status).toBe(204);
    expect(await audit(id)).toContainEqual({ action: 'delete', changed: true, who: null, detail: null });
  });

  it('that is paused can be cancelled', async () => {
    const id = await make();
    await control(id, 'pause');
    expect(await control(id, 'cancel')).toMatchObject({ body: { state: 'cancelled', stateReason: null } });
  });

  it('runs its failed items again, of one cause or all, and completes anew', async () => {
    const id = await make({ count: 30 });
    await work(app.database, { fail: new Set([3, 4, 5]) });
    const other = 'a'.repeat(12);
    await app.database.db.execute(sql`
      update results set fingerprint = ${other} where index = 5 and batch = (select no from batches where id = ${id}::uuid)`);
    const [cause] = (await app.client.failures(id)).items;
    expect(cause).toMatchObject({ count: 2 });
    const { fingerprint } = cause!;
    const running = { state: 'running', finishedAt: null, counts: { succeeded: 27, failed: 1, pending: 2 } };
    expect(await control(id, 'retry', { fingerprint })).toMatchObject({ status: 200, body: running });
    expect(await control(id, 'retry', { fingerprint })).toMatchObject({ status: 200, body: running });
    expect(await work(app.database)).toBe(2);
    expect(await app.client.getBatch(id)).toMatchObject({ state: 'completed', counts: { succeeded: 29, failed: 1 } });
    expect(await control(id, 'retry')).toMatchObject({ body: { state: 'running', counts: { failed: 0, pending: 1 } } });
    expect(await work(app.database)).toBe(1);
    // Nothing failed: it stays as it is.
    expect(await control(id, 'retry', {})).toMatchObject({ status: 200, body: { state: 'completed' } });
    expect(await audit(id)).toEqual([
      { action: 'retry', changed: true, who: null, detail: { fingerprint } },
      { action: 'retry', changed: false, who: null, detail: { fingerprint } },
      { action: 'retry', changed: true, who: null, detail: null },
      { action: 'retry', changed: false, who: null, detail: null },
    ]);
    expect(await checkLedger(app.database)).toEqual([]);
  });

  it('leaves an audit row for other limits too, and so does a handler', async () => {
    const id = await make();
    await app.client.changeBatch(id, { name: 'n', options: { concurrency: 2 } });
    expect(await audit(id)).toEqual([
      { action: 'change', changed: true, who: null, detail: { name: 'n', options: { concurrency: 2 } } },
    ]);
    await app.client.limitHandler('sleep', { rateLimit: { limit: 5 } });
    expect(await audit('sleep')).toEqual([
      { action: 'limit', changed: true, who: null, detail: { rate: 5, perMs: 1000, concurrency: null } },
    ]);
    await control(id, 'cancel');
  });
});

describe('refused is', () => {
  test.each(['cancel', 'pause', 'resume', 'retry'])('%s of what is not there, by GET, with a query', async (action) => {
    expect((await control(randomUUID(), action)).status).toBe(404);
    expect((await control('x', action)).status).toBe(404);
    const id = await make();
    expect(await ask(app, `/v1/batches/${id}/${action}`)).toMatchObject({ status: 405, headers: { allow: 'POST' } });
    expect(await ask(app, `/v1/batches/${id}/${action}?now=1`, { method: 'POST' })).toMatchObject({ status: 422 });
    expect(await audit(id)).toEqual([]);
    expect((await app.client.getBatch(id)).state).toBe('running');
    await control(id, 'cancel');
  });

  test.each([
    [{ fingerprint: 'x' }, 422, '/fingerprint'],
    [{ fingerprint: 7 }, 422, '/fingerprint'],
    [{ cause: 'a'.repeat(12) }, 422, '/cause'],
    [[], 422, ''],
  ])('retry with %j', async (body, status, pointer) => {
    const id = await make();
    const answer = await control(id, 'retry', body);
    expect(answer).toMatchObject({ status, body: { errors: [{ pointer }] } });
    expect(await audit(id)).toEqual([]);
    await control(id, 'cancel');
  });
});
