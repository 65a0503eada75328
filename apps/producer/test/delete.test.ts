import { randomUUID } from 'node:crypto';
import { createClient } from '@bullpen/api';
import { createLog } from '@bullpen/runtime';
import { eventually } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClean } from '../src/publish/clean.ts';
import { type Answer, ask, openApp, post, type TestApp, work } from './http-app.ts';

let app: TestApp;
beforeAll(async () => void (app = await openApp()));
afterAll(() => app.close());

const remove = (id: string): Promise<Answer> => ask(app, `/v1/batches/${id}`, { method: 'DELETE' });
const problem = (status: number, slug: string, detail: RegExp): object => ({
  status,
  headers: { 'content-type': 'application/problem+json' },
  body: { type: `/problems/${slug}`, detail: expect.stringMatching(detail) },
});
const submit = async (body: object, headers: Record<string, string> = {}): Promise<string> =>
  (await post(app, { handler: 'echo', ...body }, headers)).body.id;

it('DELETE answers 204, and then the batch is nowhere', async () => {
  const kept = await submit({ count: 2 });
  const id = await submit({ inputs: [1, 2, 3], name: 'mine' }, { 'idempotency-key': 'k' });
  expect(await remove(id)).toMatchObject(
    problem(409, 'invalid-state', /is running: it can be deleted once it has ended/),
  );
  await work(app.database, { fail: new Set([1]) });
  const cursor = (await ask(app, `/v1/batches/${id}/results?limit=1`)).body.nextCursor;
  const gone = await remove(id);
  expect(gone).toMatchObject({ status: 204, text: '' });
  expect(gone.headers['content-type']).toBeUndefined();
  const there = problem(404, 'not-found', /no such batch/);
  expect(await remove(id)).toMatchObject(there);
  for (const path of ['', '?wait=1', '/results', `/results?cursor=${cursor}`, '/results/0', '/failures', '/events'])
    expect(await ask(app, `/v1/batches/${id}${path}`)).toMatchObject(there);
  expect(await ask(app, `/v1/batches/${id}/results`, { headers: { accept: 'text/csv' } })).toMatchObject(there);
  expect(await post(app, [1], {}, `/v1/batches/${id}/items`)).toMatchObject(there);
  expect(await ask(app, `/v1/batches/${id}/close`, { method: 'POST' })).toMatchObject(there);
  expect((await app.client.listBatches()).items.map((batch) => batch.id)).toEqual([kept]);
  // Its key is free.
  expect((await post(app, { handler: 'echo', count: 1 }, { 'idempotency-key': 'k' })).status).toBe(202);
  await eventually('its rows are gone', async () => (await app.clean()) === 1000);
  const [left] = (await app.database.db.execute(
    sql`select (select count(*)::int from inputs) as inputs, (select count(*)::int from garbage) as garbage`,
  )) as unknown as object[];
  expect(left).toEqual({ inputs: 0, garbage: 0 });
});

it('DELETE refuses what cannot be', async () => {
  const id = await submit({ count: 1 });
  expect(await remove(randomUUID())).toMatchObject(problem(404, 'not-found', /no such batch/));
  expect(await remove('x')).toMatchObject(problem(404, 'not-found', /no such batch/));
  expect(await ask(app, `/v1/batches/${id}?force=1`, { method: 'DELETE' })).toMatchObject({ status: 422 });
  expect(await ask(app, '/v1/batches', { method: 'DELETE' })).toMatchObject({
    status: 405,
    headers: { allow: 'GET, HEAD, POST' },
  });
  expect(await ask(app, `/v1/batches/${id}`, { method: 'PUT' })).toMatchObject({
    status: 405,
    headers: { allow: 'GET, HEAD, PATCH, DELETE' },
  });
  const [{ no }] = (await app.database.db.execute(sql`select no from batches where id = ${id}::uuid`)) as unknown as [
    { no: number },
  ];
  await app.database.statements.pause(no);
  expect(await remove(id)).toMatchObject(problem(409, 'invalid-state', /is paused/));
  await app.database.statements.cancel(no);
  expect((await remove(id)).status).toBe(204);
  const { batchId } = (await post(app, { a: 1 }, {}, '/v1/jobs/add')).body;
  expect(await remove(batchId)).toMatchObject(problem(409, 'invalid-state', /single items/));
  await work(app.database);
});

it('of two at once none is told an error', async () => {
  const id = await submit({ count: 3 });
  await work(app.database);
  const answers = await Promise.all(Array.from({ length: 6 }, () => remove(id)));
  expect(answers.map(({ status }) => status).filter((status) => status !== 204 && status !== 404)).toEqual([]);
  expect(answers.some(({ status }) => status === 204)).toBe(true);
});

it('a stream of results whose batch is deleted meanwhile breaks off instead of ending', async () => {
  const output = 'x'.repeat(100_000);
  const id = await submit({ inputs: Array.from({ length: 150 }, () => output) });
  await work(app.database);
  await app.database.db.execute(
    sql`update results set output = to_json(${output}::text) where batch = (select no from batches where id = ${id}::uuid)`,
  );
  const response = await fetch(`${app.url}/v1/batches/${id}/results`, { headers: { accept: 'application/x-ndjson' } });
  const reader = response.body!.getReader();
  await reader.read();
  await createClient({ url: app.url }).deleteBatch(id);
  await eventually('its rows are gone', async () => (await app.clean()) === 1000);
  const readAll = async (): Promise<void> => {
    for (;;) if ((await reader.read()).done) return;
  };
  await expect(readAll()).rejects.toThrow('terminated');
});

it('a large upload has a range of its own, which goes with it', async () => {
  const line = `${JSON.stringify('y'.repeat(1000))}\n`;
  const headers = { 'content-type': 'application/x-ndjson' };
  const body = line.repeat(33_500);
  const answer = await ask(app, '/v1/batches?handler=echo', { method: 'POST', headers, body });
  expect(answer).toMatchObject({ status: 202, body: { counts: { total: 33_500 } } });
  const own = async (): Promise<number> =>
    (
      (await app.database.db.execute(sql`select count(*)::int as n from ranges where own`)) as unknown as [
        { n: number },
      ]
    )[0].n;
  expect(await own()).toBe(1);
  expect((await app.client.listBatches()).items[0]!.id).toBe(answer.body.id);
  await app.database.db.execute(
    sql`update batches set state = 'cancelled', finished_at = now() where id = ${answer.body.id}::uuid`,
  );
  expect((await remove(answer.body.id)).status).toBe(204);
  await eventually('its range is gone', async () => (await app.clean()) === 1000 && (await own()) === 0);
});

it('the retention takes what has ended, after its days; 0 takes nothing', async () => {
  const [old, running] = [await submit({ count: 1 }), await submit({ count: 1, name: 'runs' })];
  await app.database.db.execute(
    sql`update batches set state = case when id = ${old}::uuid then 'completed' else 'running' end, created_at = '2001-01-01', finished_at = case when id = ${old}::uuid then '2001-02-03'::timestamptz end
      where id in (${old}::uuid, ${running}::uuid)`,
  );
  const log = createLog({ name: 'test', level: 'silent', pretty: false });
  const { statements } = app.database;
  const clean = (retentionDays: number) => createClean({ statements, settings: { leaseMs: 5000, retentionDays }, log });
  await clean(0)();
  expect((await app.client.getBatch(old)).state).toBe('completed');
  await clean(3650)();
  expect((await ask(app, `/v1/batches/${old}`)).status).toBe(404);
  expect((await app.client.getBatch(running)).name).toBe('runs');
});

it('the retention takes items of an open batch, after their days; 0 takes nothing, and what is gone is not there', async () => {
  const { db, statements } = app.database;
  const streams = [];
  for (let n = 0; n < 21; n += 1)
    streams.push(await submit({ handler: 'echo', inputs: [1, 2], options: { open: true, chunkSize: 1 } }));
  const last = streams.at(-1)!;
  await db.execute(sql`
    with b as (update batches set succeeded = 2, created_at = '2001-01-01' where not sealed and kind = 'batch' returning no),
      c as (update chunks set state = 'done', claimed_at = '2001-01-01' where batch in (select no from b))
    insert into results (batch, index, finished_at, status, attempt, output)
    select no, i, case i when 0 then '2001-02-03' else now() end, 1, 1, '7' from b, generate_series(0, 1) i`);
  const log = createLog({ name: 'test', level: 'silent', pretty: false });
  const clean = (retentionDays: number) => createClean({ statements, settings: { leaseMs: 5000, retentionDays }, log });
  await clean(0)();
  expect((await app.client.result(last, 0)).output).toBe(7);
  const cleanOnce = clean(3650);
  // Twenty of them a round, and one that finds nothing.
  for (const nextMs of [20, 20, 1000]) expect(await cleanOnce()).toBe(nextMs);
  const gone = await ask(app, `/v1/batches/${last}/results/0`);
  expect([gone.status, gone.body.detail]).toEqual([404, 'Item 0 was kept for RETENTION_DAYS and is gone']);
  expect((await app.client.result(last, 1)).output).toBe(7);
  expect((await app.client.results(last)).items.map(({ index }) => index)).toEqual([1]);
  expect((await app.client.getBatch(last)).counts).toMatchObject({ total: 2, succeeded: 2 });
  expect((await ask(app, `/v1/batches/${last}/results/2`)).body.detail).toContain('no such item');
});
