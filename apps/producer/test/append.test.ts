import { randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { checkLedger } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask, openApp, post, type TestApp, work } from './http-app.ts';

let app: TestApp;
beforeAll(async () => void (app = await openApp({ settings: { maxItemsPerBatch: 2000, batchMaxSize: 10 } })));
afterAll(() => app.close());

const ndjson = { 'content-type': 'application/x-ndjson' };
const opened = async (more: object = {}): Promise<string> => {
  const { body, status } = await post(app, { handler: 'add', options: { open: true }, ...more });
  expect({ status, sealed: body.sealed, state: body.state }).toEqual({ status: 202, sealed: false, state: 'running' });
  return body.id;
};
const append = (id: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  post(app, body, headers, `/v1/batches/${id}/items`);
const close = (id: string): Promise<Answer> => ask(app, `/v1/batches/${id}/close`, { method: 'POST' });

describe('an open batch', () => {
  it('takes items as JSON and NDJSON, numbered in the order of their commits, until it is closed', async () => {
    const id = await opened({ name: 'stream', inputs: [{ a: 1 }] });
    expect(await append(id, [{ a: 2 }, { a: 3 }])).toMatchObject({
      status: 202,
      body: { batchId: id, firstIndex: 1, count: 2 },
    });
    expect((await append(id, '{"a":4}\n\n{"a":5}', ndjson)).body).toEqual({ batchId: id, firstIndex: 3, count: 2 });
    const packed = { ...ndjson, 'content-encoding': 'gzip' };
    expect((await append(id, gzipSync('{"a":6}'), packed)).body).toEqual({ batchId: id, firstIndex: 5, count: 1 });
    await work(app.database);
    expect(await app.client.getBatch(id)).toMatchObject({ state: 'running', counts: { total: 6, succeeded: 6 } });
    expect((await close(id)).body).toMatchObject({ state: 'completed', sealed: true, counts: { total: 6 } });
    expect(await close(id)).toMatchObject({ status: 200, body: { state: 'completed' } });
    expect(await append(id, [{ a: 7 }])).toMatchObject({ status: 409, body: { type: '/problems/invalid-state' } });
    expect(await checkLedger(app.database)).toEqual([]);
  });

  it('that is closed while items are open is completed by the last one', async () => {
    const id = await opened();
    await append(id, [{ a: 1 }, { a: 2 }]);
    expect((await close(id)).body).toMatchObject({ state: 'running', sealed: true });
    await work(app.database);
    expect(await app.client.getBatch(id)).toMatchObject({ state: 'completed', counts: { succeeded: 2 } });
  });

  it('takes each append once under its key, and all or nothing', async () => {
    const id = await opened();
    const key = { 'idempotency-key': randomUUID() };
    const answers = await Promise.all(Array.from({ length: 20 }, () => append(id, [{ a: 1 }, { a: 2 }], key)));
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`))).toEqual(
      new Set([`202 {"batchId":"${id}","firstIndex":0,"count":2}`]),
    );
    expect(await append(id, [{ a: 3 }], key)).toMatchObject({ status: 422, body: { type: '/problems/key-reused' } });
    expect(await append(id, [{ a: 3 }, { a: 'x' }])).toMatchObject({
      status: 422,
      body: { errors: [{ pointer: '/1/a' }] },
    });
    expect(await append(id, '{"a":3}\n{', ndjson)).toMatchObject({ status: 400, body: { errors: [{ line: 2 }] } });
    expect((await app.client.getBatch(id)).counts.total).toBe(2);
    // A retry of an append that came before the close is answered as it was.
    await close(id);
    expect(await append(id, [{ a: 1 }, { a: 2 }], key)).toMatchObject({ status: 202, body: { firstIndex: 0 } });
  });

  it('holds as many unfinished items as a batch may have', async () => {
    const id = await opened();
    expect(
      (
        await append(
          id,
          Array.from({ length: 1990 }, () => ({ a: 1 })),
        )
      ).status,
    ).toBe(202);
    expect(
      await append(
        id,
        Array.from({ length: 11 }, () => ({ a: 1 })),
      ),
    ).toMatchObject({
      status: 413,
      body: { detail: expect.stringContaining('MAX_ITEMS_PER_BATCH') },
    });
    await work(app.database);
    expect(
      (
        await append(
          id,
          Array.from({ length: 11 }, () => ({ a: 1 })),
        )
      ).status,
    ).toBe(202);
  });
});

describe('single items', () => {
  const job = (input: unknown, headers: Record<string, string> = {}, query = ''): Promise<Answer> =>
    post(app, input, headers, `/v1/jobs/add${query}`);

  it('go to one batch, each at an index of its own, in groups', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, (_, a) => job({ a })));
    expect(new Set(answers.map(({ status, body }) => `${status} ${body.batchId}`)).size).toBe(1);
    expect(answers.map(({ body }) => Number(body.index)).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 200 }, (_, i) => i),
    );
    const { batchId } = answers[0]!.body;
    const rows = await app.database.db.execute(
      sql`select size from chunks c join batches b on b.no = c.batch where b.kind = 'jobs'`,
    );
    const sizes = rows.map((row) => (row as { size: number }).size);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(200);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(10);
    expect(sizes.length).toBeLessThan(150);
    for (const { body } of answers.slice(0, 20)) {
      const input = await app.database.db
        .execute(sql`select i.items::json->(${body.index}::int - i.first::int) as item from inputs i
        join batches b on b.no = i.batch where b.kind = 'jobs' and i.first <= ${body.index} order by first desc limit 1`);
      expect(input[0]).toEqual({ item: { a: answers.findIndex((each) => each.body === body) } });
    }
    expect((await app.client.listBatches({})).items.some(({ id }) => id === batchId)).toBe(false);
    const [rolling] = (await app.client.listBatches({ kind: 'jobs' })).items;
    expect(rolling).toMatchObject({ id: batchId, kind: 'jobs', sealed: false, handler: 'add', counts: { total: 200 } });
    expect(await close(batchId)).toMatchObject({ status: 409, body: { type: '/problems/invalid-state' } });
    expect(await append(batchId, [{ a: 1 }])).toMatchObject({ status: 409 });
    await work(app.database);
    expect(await checkLedger(app.database)).toEqual([]);
  });

  it('wait for their results, and get them as soon as they are there', async () => {
    const waiting = Promise.all([1, 2, 3].map((a) => job({ a }, {}, '?wait=20')));
    const none = await job({ a: 9 }, {}, '?wait=1');
    expect(none).toMatchObject({ status: 202, body: { index: expect.any(Number) } });
    await work(app.database);
    for (const { status, body } of await waiting)
      expect({ status, body }).toMatchObject({ status: 200, body: { status: 'succeeded', output: { i: body.index } } });
    expect(await app.client.result(none.body.batchId, none.body.index)).toMatchObject({ status: 'succeeded' });
  });

  it('are taken while their batch is paused, and wait until it resumes', async () => {
    const { batchId } = (await job({ a: 1 })).body;
    await app.client.pauseBatch(batchId);
    expect(await job({ a: 2 })).toMatchObject({ status: 202, body: { batchId } });
    expect(await work(app.database)).toBe(0);
    await app.client.resumeBatch(batchId);
    expect(await work(app.database)).toBe(2);
  });

  it('wait for the end of those that return nothing, too', async () => {
    const waiting = job({ a: 1 }, {}, '?wait=20');
    const done = async (): Promise<number> => work(app.database, { acknowledge: true });
    while ((await done()) === 0) continue;
    expect(await waiting).toMatchObject({ status: 200, body: { status: 'succeeded', output: null } });
  });

  it('that are stored are never answered with an error, though their results cannot be waited for', async () => {
    const { statements } = app.database;
    let broken = 0;
    const settled = async (): Promise<never> => {
      broken += 1;
      throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
    };
    const other = await openApp({ statements: { ...statements, settled } });
    const answer = await post(other, { a: 1 }, {}, '/v1/jobs/add?wait=1');
    expect(answer).toMatchObject({ status: 202, body: { index: expect.any(Number) } });
    expect(broken).toBeGreaterThan(1);
    // Under another wait it is the same request.
    const key = { 'idempotency-key': randomUUID() };
    const first = await post(app, { a: 1 }, key, '/v1/jobs/add');
    const second = await post(app, { a: 1 }, key, '/v1/jobs/add?wait=1');
    expect(second).toMatchObject({ status: 202, body: first.body, headers: { 'idempotency-replayed': 'true' } });
    await other.close();
  });

  it('are stored once under a key', async () => {
    const key = { 'idempotency-key': randomUUID() };
    const before = (await app.client.listBatches({ kind: 'jobs' })).items[0]!.counts.total;
    const answers = await Promise.all(Array.from({ length: 20 }, () => job({ a: 1 }, key)));
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(answers[0]!.status).toBe(202);
    expect(await job({ a: 2 }, key)).toMatchObject({ status: 422, body: { type: '/problems/key-reused' } });
    expect((await app.client.listBatches({ kind: 'jobs' })).items[0]!.counts.total).toBe(before + 1);
  });

  it('go to the batch of the next day', async () => {
    const { body } = await job({ a: 1 });
    await app.database.db.execute(
      sql`update batches set created_at = created_at - interval '1 day' where kind = 'jobs'`,
    );
    const next = await job({ a: 1 });
    expect(next.body).toMatchObject({ index: 0 });
    expect(next.body.batchId).not.toBe(body.batchId);
  });
});
