import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, ask, openApp, type TestApp, work } from './http-app.ts';

let app: TestApp;
let id: string;
beforeAll(async () => {
  app = await openApp();
  ({ id } = await app.client.submit({ handler: 'echo', count: 8, options: { chunkSize: 4 } }));
});
afterAll(() => app.close());

const get = (tag?: string, query = '', method = 'GET'): Promise<Answer> =>
  ask(app, `/v1/batches/${id}${query}`, { method, headers: tag === undefined ? {} : { 'if-none-match': tag } });

describe('a batch that a client has already', () => {
  test('is 304 without a body until anything of it changes', async () => {
    const first = await get();
    const tag = first.headers['etag'] as string;
    expect(tag).toMatch(/^W\/"[\w-]{22}"$/);
    expect(first.headers['cache-control']).toBe('no-cache');
    const same = await get(tag);
    expect(same).toMatchObject({ status: 304, text: '', headers: { etag: tag, 'cache-control': 'no-cache' } });
    expect(same.headers['content-type']).toBeUndefined();
    await work(app.database, { chunks: 1 });
    const next = await get(tag);
    expect(next).toMatchObject({ status: 200, body: { counts: { succeeded: 4 } } });
    const nextTag = next.headers['etag'] as string;
    // The speed of a batch that runs falls with the clock, and is no reason to send it again.
    expect((await get(nextTag)).status).toBe(304);
    expect((await get()).body.itemsPerSecond).not.toBe(next.body.itemsPerSecond);
    await app.database.statements.pause((await app.database.statements.counts(id))!.no);
    expect((await get(nextTag)).body.state).toBe('paused');
    await app.database.statements.resume((await app.database.statements.counts(id))!.no);
  });

  test.each([
    ['TAG', 304],
    ['STRONG', 304],
    ['*', 304],
    [' * ', 304],
    ['"x", TAG', 304],
    ['W/"x","y" ,STRONG', 304],
    ['W/"x"', 200],
    ['"*"', 200],
    ['', 200],
    ['nonsense', 200],
  ])('If-None-Match: %s is %i', async (header, status) => {
    const tag = (await get()).headers['etag'] as string;
    const sent = header.replace('TAG', tag).replace('STRONG', tag.slice(2));
    expect((await get(sent)).status).toBe(status);
    expect((await get(sent, '', 'HEAD')).status).toBe(status);
  });

  test('is compared after the wait, also where fetch says no-cache of itself', async () => {
    const tag = (await get()).headers['etag'] as string;
    expect((await get(tag, '?wait=1')).status).toBe(304);
    const waiting = get(tag, '?wait=30');
    await work(app.database);
    expect(await waiting).toMatchObject({ status: 200, body: { state: 'completed' } });
    const last = (await get()).headers['etag'] as string;
    expect((await fetch(`${app.url}/v1/batches/${id}`, { headers: { 'if-none-match': last } })).status).toBe(304);
    expect((await ask(app, '/v1/batches')).headers['cache-control']).toBe('no-store');
  });
});
