import { setTimeout as sleep } from 'node:timers/promises';
import {
  batchPageSchema,
  batchSchema,
  handlerListSchema,
  newId,
  partitionListSchema,
  type Result,
  resultPageSchema,
  workerListSchema,
  optionDefaults,
} from '@bullpen/api';
import { eventually } from '@bullpen/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, openApp, post, type TestApp, work } from './http-app.ts';

let app: TestApp;
beforeAll(async () => {
  app = await openApp();
});
afterAll(() => app.close());

const linesOf = async (lines: AsyncIterable<string>): Promise<Record<string, unknown>[]> => {
  const all: Record<string, unknown>[] = [];
  for await (const line of lines) all.push(JSON.parse(line) as Record<string, unknown>);
  return all;
};

describe('a batch', () => {
  test('of a count is answered 202 with its effective options, and published after the commit', async () => {
    const before = app.accepted();
    const answer = await post(app, { handler: 'echo', name: 'Ünïcode <b>', count: 10, params: { x: '\u0000\ud800' } });
    expect(answer.status).toBe(202);
    const batch = batchSchema.parse(answer.body);
    expect(answer.headers['location']).toBe(`/v1/batches/${batch.id}`);
    expect(batch).toMatchObject({
      name: 'Ünïcode <b>',
      handler: 'echo',
      state: 'running',
      sealed: true,
      stateReason: null,
      params: { x: '\u0000\ud800' },
    });
    expect(batch.counts).toEqual({ total: 10, pending: 10, running: 0, succeeded: 0, failed: 0, cancelled: 0 });
    expect(batch).toMatchObject({
      startedAt: null,
      finishedAt: null,
      itemsPerSecond: null,
      etaSeconds: null,
      summary: null,
    });
    expect(batch.options).toEqual({ ...optionDefaults, seed: expect.any(Number) });
    expect(app.accepted()).toBe(before + 1);
    await app.database.statements.cancel((await app.database.statements.counts(batch.id))!.no);
  });

  test('shows the options that were given', async () => {
    const options = {
      chunkSize: 4,
      maxAttempts: 1,
      backoffMs: 0,
      timeoutMs: 86_400_000,
      seed: 4_294_967_295,
      priority: 9,
      weight: 100,
    };
    const batch = await app.client.submit({ handler: 'echo', count: 9, options });
    expect(batch.options).toEqual(options);
    expect(await work(app.database, { chunks: 1 })).toBe(4);
    await work(app.database);
  });

  test('of inputs keeps the values as they came and runs to its end', async () => {
    const inputs = [{ a: 1, extra: 'stays' }, { a: 2, b: 5 }, { a: 3 }];
    const { id } = await app.client.submit({ handler: 'add', inputs });
    const { no } = (await app.database.statements.counts(id))!;
    const waiting = app.client.getBatch(id, { waitSeconds: 10 });
    await work(app.database, { hold: true });
    const [first] = await app.database
      .client`select string_agg(items, '' order by first) as items from bullpen.inputs where batch = ${no}`;
    expect(first!['items']).toBe(inputs.map((input) => JSON.stringify([input])).join(''));
    expect((await app.client.getBatch(id)).counts).toEqual({
      total: 3,
      pending: 0,
      running: 3,
      succeeded: 0,
      failed: 0,
      cancelled: 0,
    });
    await app.database
      .client`update bullpen.chunks set state = 'pending', claim = null, worker = null where batch = ${no}`;
    expect(await work(app.database, { fail: new Set([1]) })).toBe(3);
    const ended = await waiting;
    expect(ended).toMatchObject({ state: 'completed', counts: { total: 3, succeeded: 2, failed: 1 } });
    expect(ended.itemsPerSecond).toBeGreaterThan(0);
    expect(ended.etaSeconds).toBeNull();
  });

  test('with __proto__ in its values pollutes nothing and comes back', async () => {
    const answer = await post(app, '{"handler":"echo","count":1,"params":{"__proto__":{"polluted":true}}}');
    expect(answer.status).toBe(202);
    expect(answer.text).toContain('"params":{"__proto__":{"polluted":true}}');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    await work(app.database);
  });

  test('that is cancelled counts its rest as cancelled', async () => {
    const { id } = await app.client.submit({ handler: 'echo', count: 8, options: { chunkSize: 4 } });
    await work(app.database, { chunks: 1 });
    await app.database.statements.cancel((await app.database.statements.counts(id))!.no);
    const batch = await app.client.getBatch(id, { waitSeconds: 5 });
    expect(batch).toMatchObject({
      state: 'cancelled',
      counts: { total: 8, pending: 0, running: 0, succeeded: 4, failed: 0, cancelled: 4 },
    });
    expect((await ask(app, `/v1/batches/${id}/results/7`)).body).toMatchObject({
      index: 7,
      status: 'cancelled',
      output: null,
    });
    expect((await linesOf(app.client.resultLines(id))).length).toBe(4);
  });

  test('that does not end is answered after the wait, and nobody stays behind when the client leaves', async () => {
    const { id } = await app.client.submit({ handler: 'echo', count: 1 });
    const started = performance.now();
    expect((await app.client.getBatch(id, { waitSeconds: 1 })).state).toBe('running');
    expect(performance.now() - started).toBeGreaterThan(990);
    const leaving = new AbortController();
    const left = app.client.getBatch(id, { waitSeconds: 60, signal: leaving.signal });
    await sleep(50);
    leaving.abort();
    await expect(left).rejects.toThrow();
    await work(app.database);
  });
});

describe('lists of batches', () => {
  test('are paged, newest first, by state and handler', async () => {
    const made = new Set<string>();
    for (let i = 0; i < 5; i += 1)
      made.add((await app.client.submit({ handler: 'sleep', count: 1, params: { ms: 1 } })).id);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = batchPageSchema.parse(
        await app.client.listBatches({ handler: 'sleep', state: 'running', limit: 2, cursor }),
      );
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toEqual([...made].toReversed());
    await work(app.database);
    expect((await app.client.listBatches({ handler: 'sleep', state: 'running' })).items).toEqual([]);
    expect((await app.client.listBatches({ kind: 'jobs' })).items).toEqual([]);
    const { nextCursor } = await app.client.listBatches({ handler: 'sleep', limit: 2 });
    expect((await ask(app, `/v1/batches?cursor=${nextCursor}`)).status).toBe(422);
  });
});

describe('results', () => {
  let id: string;
  beforeAll(async () => {
    ({ id } = await app.client.submit({ handler: 'echo', count: 250, options: { chunkSize: 100 } }));
    await work(app.database, { fail: new Set([3, 200]) });
  });

  test('are paged to the end, each once', async () => {
    for (const limit of [7, 100, 250, 1000]) {
      const indexes: number[] = [];
      let cursor: string | undefined;
      do {
        const page = resultPageSchema.parse(await app.client.results(id, { limit, cursor }));
        indexes.push(...page.items.map(({ index }) => index));
        cursor = page.nextCursor ?? undefined;
        expect(page.items.length).toBeGreaterThan(0);
      } while (cursor !== undefined);
      expect(indexes).toEqual(Array.from({ length: 250 }, (_, index) => index));
    }
  });

  test('show outputs and errors as they were stored', async () => {
    const { items } = await app.client.results(id, { status: 'failed' });
    expect(items).toMatchObject([
      {
        index: 3,
        status: 'failed',
        attempts: 1,
        output: null,
        error: { code: 'bad', message: 'as asked', fingerprint: expect.stringMatching(/^[0-9a-f]{12}$/) },
      },
      { index: 200, status: 'failed' },
    ]);
    expect((await app.client.result(id, 249)) satisfies Result).toMatchObject({
      index: 249,
      status: 'succeeded',
      attempts: 1,
      output: { i: 249 },
      error: null,
    });
    expect((await app.client.results(id, { status: 'succeeded', limit: 4 })).items.map(({ index }) => index)).toEqual([
      0, 1, 2, 4,
    ]);
  });

  test('are streamed whole, by status, and a HEAD brings none', async () => {
    const lines = await linesOf(app.client.resultLines(id));
    expect(lines.length).toBe(250);
    expect(lines[17]).toMatchObject({ index: 17, output: { i: 17 } });
    expect((await linesOf(app.client.resultLines(id, { status: 'failed' }))).map((line) => line['index'])).toEqual([
      3, 200,
    ]);
    const head = await ask(app, `/v1/batches/${id}/results`, {
      method: 'HEAD',
      headers: { accept: 'application/x-ndjson' },
    });
    expect(head).toMatchObject({ status: 200, text: '' });
    expect(head.headers['content-type']).toBe('application/x-ndjson');
  });

  test('of a batch that runs end with {"complete": false}', async () => {
    const running = await app.client.submit({ handler: 'echo', count: 8, options: { chunkSize: 4 } });
    await work(app.database, { chunks: 1 });
    const { text, headers } = await ask(app, `/v1/batches/${running.id}/results`, {
      headers: { accept: 'application/x-ndjson' },
    });
    expect(headers['content-type']).toBe('application/x-ndjson');
    expect(text.endsWith('\n{"complete": false}\n')).toBe(true);
    expect(text.split('\n').length).toBe(6);
    expect((await ask(app, `/v1/batches/${running.id}/results/7`)).status).toBe(404);
    await work(app.database);
    expect((await linesOf(app.client.resultLines(running.id))).length).toBe(8);
  });

  test('that were only acknowledged have no row and are successes all the same', async () => {
    const batch = await app.client.submit({ handler: 'echo', count: 3 });
    await work(app.database, { acknowledge: true });
    expect((await app.client.getBatch(batch.id)).counts.succeeded).toBe(3);
    expect((await app.client.results(batch.id)).items).toEqual([]);
    expect(await app.client.result(batch.id, 2)).toMatchObject({
      index: 2,
      status: 'succeeded',
      attempts: 1,
      output: null,
      error: null,
    });
  });

  test('with large outputs come in flat memory, whatever the client reads', async () => {
    const batch = await app.client.submit({ handler: 'echo', count: 40 });
    const { no } = (await app.database.statements.counts(batch.id))!;
    await work(app.database);
    await app.database.client`update bullpen.results set output = to_json(repeat('x', 1000000)) where batch = ${no}`;
    const page = await app.client.results(batch.id, { limit: 40 });
    expect(page.items.length).toBe(9);
    const rest = await app.client.results(batch.id, { limit: 40, cursor: page.nextCursor! });
    expect(rest.items[0]!.index).toBe(9);
    // A client that reads a little and leaves holds nothing.
    for await (const line of app.client.resultLines(batch.id)) {
      expect(line.startsWith('{"index":0,')).toBe(true);
      break;
    }
    expect((await linesOf(app.client.resultLines(batch.id))).length).toBe(40);
  });
});

describe('the rest of the routes', () => {
  test('handlers come with JSON schemas of what goes in', async () => {
    const { items } = handlerListSchema.parse(await app.client.handlers());
    expect(items.find(({ name }) => name === 'add')!.input).toMatchObject({ type: 'object', required: ['a'] });
    expect(items.find(({ name }) => name === 'sleep')).toMatchObject({
      input: null,
      chunkSize: 7,
      params: { required: ['ms'] },
    });
  });

  test('workers and partitions show who owns what', async () => {
    const { id } = await app.client.submit({ handler: 'echo', count: 4, options: { chunkSize: 1 } });
    await app.database.client`with gone as (delete from bullpen.workers) update bullpen.partitions set owner = null`;
    await work(app.database, { chunks: 4, hold: true });
    const { items: workers } = workerListSchema.parse(await app.client.workers());
    const holder = workers.find(({ partitions }) => partitions.length === 4)!;
    expect(holder).toMatchObject({
      host: 'here',
      chunksInFlight: 1,
      itemsPerSecond: 3,
      roundTripMs: { redis: 0.1, postgres: 0.2 },
    });
    const { items: partitions } = partitionListSchema.parse(await app.client.partitions());
    expect(partitions.map(({ partition }) => partition)).toEqual([0, 1, 2, 3]);
    expect(
      partitions.every(({ owner, running, backlog }) => owner === holder.id && running === 1 && backlog === 0),
    ).toBe(true);
    expect(holder).toMatchObject({ pins: null, helping: null, idle: null });
    const { takenAt, expiresAt, ...first } = partitions[0]!;
    expect(first).toMatchObject({ ownerName: 'tester', pinnedTo: null, reserved: false, helpers: [] });
    expect(Math.round((Date.parse(expiresAt!) - Date.parse(takenAt!)) / 1000)).toBe(5);
    await app.database.statements.cancel((await app.database.statements.counts(id))!.no);
  });

  test('health', async () => {
    expect(await app.client.ready()).toEqual([]);
    expect((await ask(app, '/livez', { headers: { host: 'anything', 'x-forwarded-for': '1.2.3.4' } })).body).toEqual({
      status: 'alive',
    });
    const away = await openApp({ readiness: () => Promise.resolve(['Redis does not answer']) });
    try {
      expect(await away.client.ready()).toEqual(['Redis does not answer']);
      const { status, headers, body } = await ask(away, '/readyz');
      expect(status).toBe(503);
      expect(headers['retry-after']).toBe('2');
      expect(body).toMatchObject({ type: '/problems/not-ready', detail: 'Redis does not answer' });
    } finally {
      await away.close();
    }
  });

  test('the status page escapes what users wrote', async () => {
    await app.client.submit({ handler: 'echo', name: '<script>alert(1)</script>', count: 1 });
    const { status, text, headers } = await ask(app, '/');
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(headers['x-powered-by']).toBeUndefined();
    expect(text).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(text).not.toContain('<script');
    expect(text).toContain('0 of 1 (0 %)');
    await work(app.database);
  });

  test('every GET has a HEAD', async () => {
    for (const path of ['/', '/livez', '/readyz', '/v1/batches', '/v1/handlers', '/v1/workers', '/v1/partitions']) {
      expect(await ask(app, path, { method: 'HEAD' }), path).toMatchObject({ status: 200, text: '' });
    }
  });
});

test('a wait ends when the process stops', async () => {
  const stopping = new AbortController();
  const other = await openApp({ stopping: stopping.signal });
  try {
    const { id } = await other.client.submit({ handler: 'echo', count: 1 });
    const waiting = other.client.getBatch(id, { waitSeconds: 60 });
    await sleep(100);
    stopping.abort();
    expect((await waiting).state).toBe('running');
    expect(await other.client.ready()).toEqual(['the service stops']);
  } finally {
    await other.close();
  }
});

test('a client that leaves in the middle of a stream leaves no connection busy', async () => {
  const { id } = await app.client.submit({ handler: 'echo', count: 30_000 });
  while ((await work(app.database)) > 0);
  for (let i = 0; i < 20; i += 1) {
    for await (const _ of app.client.resultLines(id)) break;
  }
  await eventually('no query runs', async () => {
    const [row] = await app.database
      .client`select count(*)::int as n from pg_stat_activity where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()`;
    return row!['n'] === 0;
  });
  expect(await ask(app, `/v1/batches/${newId()}`)).toMatchObject({ status: 404 });
});
