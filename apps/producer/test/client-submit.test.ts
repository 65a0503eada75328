import { randomUUID } from 'node:crypto';
import { ApiError } from '@bullpen/api';
import { eventually } from '@bullpen/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openApp, type TestApp, work } from './http-app.ts';

let app: TestApp;
beforeAll(async () => void (app = await openApp()));
afterAll(() => app.close());

const mebi = 1024 * 1024;

/** Parts of 256 KiB, the first of which begins with the given text; counts what was asked for. */
function bodyOf(first: string, bytes: number) {
  const line = `${JSON.stringify({ a: 1, pad: 'x'.repeat(1000) })}\n`;
  const part = Buffer.from(line.repeat(256));
  const body = { sent: 0, closed: false };
  const parts = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield Buffer.from(first);
      for (; body.sent < bytes; body.sent += part.length) yield part;
    } finally {
      body.closed = true;
    }
  };
  return Object.assign(body, { parts: parts() });
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

describe('the client', () => {
  it.each(['{"a":"x"}\n', '{"a":\n'])(
    'hears why 200 MB are refused at their first line, %j, and sends no more',
    async (line) => {
      const body = bodyOf(line, 200 * mebi);
      const error = await app.client
        .submitStream({ handler: 'add', form: 'ndjson', body: body.parts, key: randomUUID() })
        .catch((error: unknown) => error);
      expect(error).toBeInstanceOf(ApiError);
      expect((error as ApiError).problem.errors?.[0]).toMatchObject({ line: 1 });
      expect(body.sent).toBeLessThan(100 * mebi);
      await eventually('its source is closed', () => body.closed);
    },
  );

  it('keeps nothing of what it has sent', async () => {
    // Buffers of their own, as a file gives them: what is kept shows in the memory outside the heap.
    let largest = 0;
    const body = async function* (): AsyncGenerator<Uint8Array> {
      for (let sent = 0; sent < 400 * mebi; sent += mebi) {
        largest = Math.max(largest, process.memoryUsage().arrayBuffers);
        yield Buffer.alloc(mebi, `"${'x'.repeat(8189)}"\n`);
      }
    };
    const before = process.memoryUsage().arrayBuffers;
    const found = await app.client.validateStream({ handler: 'echo', form: 'ndjson', body: body() });
    expect(found).toEqual({ lines: 51_200, errors: [] });
    expect(largest - before).toBeLessThan(200 * mebi);
  });

  it('hears of a handler that is not there while it sends', async () => {
    const body = bodyOf('', 200 * mebi);
    const sending = app.client.submitStream({ handler: 'nobody', form: 'ndjson', body: body.parts });
    await expect(sending).rejects.toMatchObject({ name: 'ApiError', problem: { type: '/problems/unknown-handler' } });
  });

  it('sends params and options beside a stream, and gets the same batch under the same key', async () => {
    const key = randomUUID();
    const submit = () =>
      app.client.submitStream({
        handler: 'sleep', name: 'mine', params: { ms: 3 }, options: { maxAttempts: 2 }, form: 'csv', body: once('a\n1\n2\n'), key,
      }); // prettier-ignore
    const batch = await submit();
    expect(batch).toMatchObject({ name: 'mine', params: { ms: 3 }, counts: { total: 2 }, options: { maxAttempts: 2 } });
    expect((await submit()).id).toBe(batch.id);
  });

  it('validates a stream', async () => {
    const stream = { handler: 'add', form: 'ndjson', body: once('{"a":1}\n{"a":"x"}\n') } as const;
    expect(await app.client.validateStream(stream)).toEqual({
      lines: 2,
      errors: [{ line: 2, pointer: '/a', message: expect.any(String) }],
    });
  });

  it('appends once under a key, and closes', async () => {
    const { id } = await app.client.submit({ handler: 'add', options: { open: true } }, { key: randomUUID() });
    const key = randomUUID();
    const first = await app.client.append(id, [{ a: 1 }, { a: 2 }], { key });
    expect(first).toEqual({ batchId: id, firstIndex: 0, count: 2 });
    expect(await app.client.append(id, [{ a: 1 }, { a: 2 }], { key })).toEqual(first);
    expect(await app.client.appendLines(id, Buffer.from('{"a":3}'))).toMatchObject({ firstIndex: 2, count: 1 });
    expect(await app.client.close(id)).toMatchObject({ sealed: true, counts: { total: 3 } });
  });

  it('gets the result of a single item, or its place', async () => {
    const answer = await app.client.submitJob('add', { a: 1 });
    expect(answer).toEqual({ placed: { batchId: expect.any(String), index: 0 } });
    const waiting = app.client.submitJob('add', { a: 2 }, { waitSeconds: 20 });
    for (let done = 0; done < 2;) done += await work(app.database);
    expect(await waiting).toMatchObject({ result: { index: 1, status: 'succeeded', output: { i: 1 } } });
  });
});
