import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { createStatements, openDatabase } from '@bullpen/db';
import { checkLedger, dropReplyTo, eventually } from '@bullpen/testkit';
import fc from 'fast-check';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask, openApp, post, type TestApp, work } from './http-app.ts';

let app: TestApp;
beforeAll(async () => void (app = await openApp({ settings: { chunkMaxBytes: 64 * 1024 } })));
afterAll(() => app.close());

const ndjson = { 'content-type': 'application/x-ndjson' };
const csv = { 'content-type': 'text/csv' };
const send = (query: string, body: string | Buffer, headers: Record<string, string> = ndjson): Promise<Answer> =>
  ask(app, `/v1/batches?${query}`, { method: 'POST', headers, body });

/** The inputs of a batch as they are stored, in order. */
async function storedTexts(id: string): Promise<string> {
  const rows = await app.database.db.execute(
    sql`select items from inputs i join batches b on b.no = i.batch where b.id = ${id}::uuid order by first`,
  );
  return `[${rows.map((row) => (row as { items: string }).items.slice(1, -1)).join(',')}]`;
}
const stored = async (id: string): Promise<unknown[]> => JSON.parse(await storedTexts(id)) as unknown[];
const rowsOf = async (): Promise<Record<string, number>> => {
  const [row] = await app.database.db
    .execute(sql`select (select count(*)::int from batches) as batches, (select count(*)::int from chunks) as chunks,
    (select count(*)::int from inputs) as inputs, (select count(*)::int from results) as results, (select count(*)::int from uploads) as uploads,
    (select count(*)::int from idempotency) as keys`);
  return row as Record<string, number>;
};
/** What is there once nothing is left of uploads that were given up. */
async function rowsAfterCleaning(): Promise<Record<string, number>> {
  await eventually('nothing is left of the upload', async () => {
    return (await app.clean()) === 1000 && (await rowsOf())['uploads'] === 0;
  });
  return rowsOf();
}

describe('NDJSON', () => {
  it('is a batch whose inputs are kept as they came', async () => {
    const lines = ['{"a": 1.10}', ' [1,\t2] ', '', '"\\u0000\\ud800"', 'null\r', '{"é":"𝄞"}'];
    const answer = await send('handler=echo&name=mine&chunkSize=2&seed=7', `\ufeff${lines.join('\n')}`);
    expect(answer).toMatchObject({ status: 202, headers: { location: `/v1/batches/${answer.body.id}` } });
    expect(answer.body).toMatchObject({
      name: 'mine', state: 'running', sealed: true, counts: { total: 5, pending: 5 }, options: { chunkSize: 2, seed: 7 },
    }); // prettier-ignore
    expect(await storedTexts(answer.body.id)).toBe('[{"a": 1.10}, [1,\t2] ,"\\u0000\\ud800",null,{"é":"𝄞"}]');
    await work(app.database);
    expect(await app.client.getBatch(answer.body.id)).toMatchObject({ state: 'completed', counts: { succeeded: 5 } });
    expect(await rowsOf()).toMatchObject({ uploads: 0 });
  });

  it('has chunks that grow with what has come, so that few lines too are for all workers', async () => {
    const sizes = async (lines: number): Promise<number[]> => {
      const { body } = await send('handler=echo', '1\n'.repeat(lines));
      const rows = await app.database.db.execute(
        sql`select size from chunks c join batches b on b.no = c.batch where b.id = ${body.id}::uuid order by first`,
      );
      return rows.map((row) => (row as { size: number }).size);
    };
    expect(await sizes(60)).toEqual([25, 25, 10]);
    const many = await sizes(30_000);
    // 4 partitions: 16 chunks of 25, then twice as many items each time the batch has doubled, up to CHUNK_SIZE.
    expect(many.slice(0, 36)).toEqual([...Array.from({ length: 32 }, () => 25), 50, 50, 50, 50]);
    expect(Math.max(...many)).toBe(1000);
    expect(many.reduce((sum, size) => sum + size)).toBe(30_000);
  });

  it('in gzip is the same', async () => {
    const text = Array.from({ length: 5000 }, (_, i) => JSON.stringify({ i })).join('\n');
    const { body } = await send('handler=echo', gzipSync(text), { ...ndjson, 'content-encoding': 'gzip' });
    expect(await stored(body.id)).toEqual(Array.from({ length: 5000 }, (_, i) => ({ i })));
  });

  it('takes params and options in a header', async () => {
    const header = Buffer.from(JSON.stringify({ params: { ms: 3 }, options: { maxAttempts: 2 } })).toString(
      'base64url',
    );
    const { body } = await send('handler=sleep&timeoutMs=5', '1\n', { ...ndjson, 'bullpen-options': header });
    expect(body).toMatchObject({ params: { ms: 3 }, options: { maxAttempts: 2, timeoutMs: 5 } });
  });

  it('is only looked at with validate=only', async () => {
    const before = await rowsOf();
    const lines = '{"a":1}\n{"a":"x"}\n\n{"a":\n{"b":1}\n[[';
    const { status, body } = await send('handler=add&validate=only', lines);
    expect({ status, body }).toEqual({
      status: 200,
      body: {
        lines: 5,
        errors: [
          { pointer: '/a', line: 2, message: expect.stringContaining('number') },
          { line: 4, message: 'it ends too early (column 6)' },
          { pointer: '/a', line: 5, message: expect.stringContaining('number') },
          { line: 6, message: 'it ends too early (column 3)' },
        ],
      },
    });
    expect((await send('handler=add&validate=only', '{"a":1}')).body).toEqual({ lines: 1, errors: [] });
    expect(await rowsOf()).toEqual(before);
  });
});

describe('with onInvalid=skip', () => {
  it('lines that cannot be taken have failed, and the others run', async () => {
    const { body } = await send('handler=add&onInvalid=skip', '{"a":1}\n{"a":"x"}\n\nnope\n{"a":4}\n');
    expect(body).toMatchObject({ state: 'running', counts: { total: 4, pending: 2, failed: 2 } });
    await work(app.database);
    expect(await app.client.getBatch(body.id)).toMatchObject({
      state: 'completed',
      counts: { succeeded: 2, failed: 2 },
    });
    const { items } = await app.client.results(body.id);
    expect(
      items.map(({ index, status, error }) => [index, status, error?.code ?? null, error?.message ?? null]),
    ).toEqual([
      [0, 'succeeded', null, null],
      [1, 'failed', 'invalid-input', expect.stringMatching(/^line 2: \/a: .*number/)],
      [
        2,
        'failed',
        'invalid-input',
        expect.stringMatching(/^line 4: "o" is not expected|^line 4: "n" is not expected/),
      ],
      [3, 'succeeded', null, null],
    ]);
    expect(await stored(body.id)).toEqual([{ a: 1 }, { a: 'x' }, 'nope', { a: 4 }]);
    expect(await checkLedger(app.database)).toEqual([]);
  });

  it('a batch of which no line can be taken is completed at once', async () => {
    const { body } = await send('handler=add&onInvalid=skip', 'x\n'.repeat(60));
    expect(body).toMatchObject({
      state: 'completed',
      counts: { total: 60, failed: 60 },
      finishedAt: expect.any(String),
    });
    expect(await checkLedger(app.database)).toEqual([]);
  });
});

describe('CSV', () => {
  const cell = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 8 }),
    fc.constantFrom('a\nb', 'c\r\nd', '"', ',', '""', '', ' x ', '=1'),
  );
  const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;

  it('gives the rows that were written, with any quotes, line ends and cuts', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 12 }),
        fc.constantFrom('\n', '\r\n'),
        async (rows, end) => {
          const text = ['first,"the, second"', ...rows.map((row) => row.map(quoted).join(','))].join(end);
          const { body } = await send('handler=echo', text, { ...csv, 'transfer-encoding': 'chunked' });
          expect(await stored(body.id)).toEqual(rows.map(([first, second]) => ({ first, 'the, second': second })));
          expect(body.options.columns).toEqual(['first', 'the, second']);
        },
      ),
      { numRuns: 25 },
    ));

  it('makes numbers of cells where the handler wants numbers', async () => {
    const { status, body } = await send('handler=add', '\ufeffb,a,note\r\n,1,x\r\n\r\n2.50,-3e2,\r\n', csv);
    expect(status).toBe(202);
    expect(await storedTexts(body.id)).toBe('[{"a":1,"note":"x"},{"b":2.50,"a":-3e2,"note":""}]');
  });

  it('names the line of a row, also after rows of several lines and blank ones', async () => {
    const text = 'a,b\n1,2\n\n"3","\n\nx"\n5\n6,7,8\nx,9\n';
    const { body } = await send('handler=add&validate=only', text, csv);
    expect(body.errors).toEqual([
      { pointer: '/b', line: 4, message: expect.any(String) },
      { line: 7, message: 'has 1 cells, the header has 2' },
      { line: 8, message: 'has 3 cells, the header has 2' },
      { pointer: '/a', line: 9, message: expect.any(String) },
    ]);
    expect(body.lines).toBe(5);
  });

  it('in gzip, in many parts, with half characters at their ends, is the same', async () => {
    const rows = Array.from({ length: 3000 }, (_, i) => `${i},é𝄞${i}`);
    const { body } = await send('handler=echo', gzipSync(['n,s', ...rows].join('\n')), {
      ...csv,
      'content-encoding': 'gzip',
    });
    expect(await stored(body.id)).toEqual(rows.map((row) => ({ n: row.split(',')[0], s: row.split(',')[1] })));
  });
});

describe('an upload that does not come to its end', () => {
  it('leaves nothing that runs, and is cleaned up, and its key is free', async () => {
    const before = await rowsOf();
    const { hostname, port } = new URL(app.url);
    const key = randomUUID();
    const socket = connect({ host: hostname, port: Number(port) });
    socket.write(
      `POST /v1/batches?handler=echo HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/x-ndjson\r\nIdempotency-Key: ${key}\r\nContent-Length: 100000000\r\n\r\n`,
    );
    socket.write('{"x":1}\n'.repeat(500_000));
    await eventually('some of it is stored', async () => (await rowsOf())['inputs']! > before['inputs']!);
    expect(await rowsOf()).toMatchObject({ batches: before['batches'], uploads: 1 });
    socket.destroy();
    await eventually('it is given up', async () => (await rowsOf())['keys'] === before['keys']);
    expect(await rowsAfterCleaning()).toEqual(before);
    expect((await send('handler=echo', '1', { ...ndjson, 'idempotency-key': key })).status).toBe(202);
  });

  it('neither does one that is refused at its last line', async () => {
    const before = await rowsOf();
    const answer = await send('handler=echo', `${'{"x":1}\n'.repeat(300_000)}{`);
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ line: 300_001 }] } });
    expect(await rowsAfterCleaning()).toEqual(before);
  });
});

describe('a stream and a database that goes away', () => {
  it('is 503 within 5 s, before a byte is stored', async () => {
    const away = openDatabase({ url: 'postgres://a:b@127.0.0.1:1/nothing', max: 2, name: 'test', durable: true });
    const other = await openApp({ statements: createStatements(away.db, { reconnectMs: 300 }) });
    for (const path of ['/v1/batches?handler=echo', '/v1/jobs/echo']) {
      const headers = path.includes('jobs') ? { 'content-type': 'application/json' } : ndjson;
      const answer = await ask(other, path, { method: 'POST', headers, body: '1' });
      expect(answer).toMatchObject({
        status: 503,
        headers: { 'retry-after': '2' },
        body: { type: '/problems/unavailable' },
      });
    }
    await Promise.all([other.close(), away.close()]);
  });

  it('that loses the reply to going live asks again, and finds the batch', async () => {
    const through = openDatabase({
      url: await dropReplyTo(app.database.url, 'go_live'),
      max: 2,
      name: 'test',
      durable: true,
    });
    const other = await openApp({ statements: createStatements(through.db, { reconnectMs: 300 }) });
    const key = { ...ndjson, 'idempotency-key': randomUUID() };
    const told = await ask(other, '/v1/batches?handler=echo', { method: 'POST', headers: key, body: '1\n2\n' });
    expect(told).toMatchObject({ status: 202, body: { counts: { total: 2 } } });
    const again = await send('handler=echo', '1\n2\n', key);
    expect(again).toMatchObject({ headers: { 'idempotency-replayed': 'true' }, body: { id: told.body.id } });
    await Promise.all([other.close(), through.close()]);
  }, 20_000);
});

describe('an Idempotency-Key', () => {
  const equal = (answers: readonly Answer[]): Set<unknown> =>
    new Set(answers.map(({ status, body }) => `${status} ${body.id}`));

  it.each([
    ['JSON', (key: string, n: number) => post(app, { handler: 'echo', inputs: [n] }, { 'idempotency-key': key })],
    [
      'NDJSON',
      (key: string, n: number) => send('handler=echo', `${n}\n`.repeat(3000), { ...ndjson, 'idempotency-key': key }),
    ],
    ['CSV', (key: string, n: number) => send('handler=echo', `n\n${n}`, { ...csv, 'idempotency-key': key })],
  ])('makes one batch of 20 equal submits at once, of %s', async (_, submit) => {
    const before = await rowsOf();
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 20 }, () => submit(key, 1)));
    expect(equal(answers).size).toBe(1);
    expect(answers[0]!.status).toBe(202);
    expect(answers.filter(({ headers }) => headers['idempotency-replayed'] === undefined)).toHaveLength(1);
    expect((await submit(key, 1)).body.id).toBe(answers[0]!.body.id);
    expect(await submit(key, 2)).toMatchObject({ status: 422, body: { type: '/problems/key-reused' } });
    expect(await rowsAfterCleaning()).toMatchObject({
      batches: before['batches']! + 1,
      keys: before['keys']! + 1,
      uploads: 0,
    });
  });

  it('of an upload that is read for long makes others wait, and then come again', async () => {
    const { hostname, port } = new URL(app.url);
    const key = randomUUID();
    const before = await rowsOf();
    const socket = connect({ host: hostname, port: Number(port) });
    const head = `POST /v1/batches?handler=echo HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/x-ndjson\r\nIdempotency-Key: ${key}\r\nContent-Length: 2\r\n\r\n`;
    socket.write(head);
    await eventually('it holds the key', async () => (await rowsOf())['keys'] === before['keys']! + 1);
    const keeping = setInterval(() => void app.uploads.keepOnce(), 500);
    const second = await send('handler=echo', '1\n', { ...ndjson, 'idempotency-key': key });
    expect(second).toMatchObject({
      status: 409,
      headers: { 'retry-after': '5' },
      body: { type: '/problems/in-progress' },
    });
    const third = send('handler=echo', '1\n', { ...ndjson, 'idempotency-key': key });
    socket.write('1\n');
    expect(await third).toMatchObject({ status: 202, headers: { 'idempotency-replayed': 'true' } });
    clearInterval(keeping);
    socket.destroy();
  }, 20_000);
});
