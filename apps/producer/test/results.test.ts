import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { eventually } from '@bullpen/testkit';
import { newId, type Result } from '@bullpen/api';
import { parse } from 'csv-parse/sync';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, ask, openApp, type TestApp, work } from './http-app.ts';

let app: TestApp;
beforeAll(async () => void (app = await openApp()));
afterAll(() => app.close());

const csv = (id: string, query = ''): Promise<Answer> =>
  ask(app, `/v1/batches/${id}/results${query}`, { headers: { accept: 'text/csv' } });
const ndjson = async (id: string, query = ''): Promise<Record<string, unknown>[]> => {
  const { text } = await ask(app, `/v1/batches/${id}/results${query}`, { headers: { accept: 'application/x-ndjson' } });
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
};
const rowsOf = ({ text }: Answer): Record<string, string>[] => parse(text, { columns: true });
const numberOf = async (id: string): Promise<number> => (await app.database.statements.counts(id))!.no;

const strange = [
  'a "quoted" word',
  'a, comma',
  'two\nlines',
  'cr\r\nlf',
  'ünï 💥 \u2028',
  '',
  ' blank ',
  '"',
  '=1+1',
  '-5',
  'x\u0000y',
];

/** A batch as an upload of CSV leaves it: inputs are objects of strings, and the header is among its options. */
async function uploaded(columns: string[], inputs: readonly object[]): Promise<string> {
  const id = newId();
  const items = JSON.stringify(inputs);
  const options = JSON.stringify({ maxAttempts: 3, backoffMs: 0, timeoutMs: 1000, seed: 1, columns });
  const batch = { id, name: null, handler: 'echo', total: inputs.length, params: null, options };
  await app.database.statements.acceptInputs(batch, [{ first: 0, size: inputs.length, items }]);
  return id;
}

describe('results as CSV', () => {
  test('have a header, and outputs and errors of all kinds come back as they were', async () => {
    const { id } = await app.client.submit({ handler: 'echo', count: strange.length + 1 });
    await work(app.database, { fail: new Set([strange.length]) });
    await app.database.db.execute(sql`
      update results r set output = to_json(o.value) from json_array_elements_text(${JSON.stringify(strange.map((text) => text.replace('\u0000', '')))}::json) with ordinality o(value, n)
      where r.batch = ${await numberOf(id)} and r.index = o.n - 1`);
    await app.database.db.execute(sql`
      update results set error = ${JSON.stringify({ code: 'bad', message: strange.join('|') })}::json where batch = ${await numberOf(id)} and status = 2`);
    const answer = await csv(id);
    expect(answer.headers['content-type']).toBe('text/csv; charset=utf-8');
    expect(answer.headers['bullpen-complete']).toBe('true');
    expect(answer.text.split('\n', 1)).toEqual(['index,status,attempts,output,errorCode,errorMessage,finishedAt']);
    const rows = rowsOf(answer);
    const lines = await ndjson(id);
    expect(rows.length).toBe(strange.length + 1);
    for (const [at, row] of rows.entries()) {
      const { index, status, attempts, output, error, finishedAt } = lines[at]! as unknown as Result;
      expect({ ...row, output: row['output'] === '' ? null : JSON.parse(row['output']!) }).toEqual({
        index: String(index), status, attempts: String(attempts), output, finishedAt,
        errorCode: error?.code ?? '', errorMessage: error?.message ?? '',
      }); // prettier-ignore
    }
    expect(rows.map(({ output }) => output)).toContain(JSON.stringify('two\nlines'));
    expect(rows.at(-1)!['errorMessage']).toBe(strange.join('|'));
  });

  test('bring the inputs in their columns, so that what failed can be submitted again as it was', async () => {
    const columns = ['name', 'a "b", c', '=x'];
    const inputs = strange.map((text, at) => ({
      name: text,
      'a "b", c': `${at}`,
      ...(at % 2 === 0 && { '=x': text }),
    }));
    const id = await uploaded(columns, inputs);
    await work(app.database, { fail: new Set([1, 3, 4]) });
    const all = rowsOf(await csv(id, '?inputs=true'));
    expect(Object.keys(all[0]!)).toEqual([
      ...columns,
      'index',
      'status',
      'attempts',
      'output',
      'errorCode',
      'errorMessage',
      'finishedAt',
    ]);
    for (const [at, row] of all.entries()) {
      expect(row).toMatchObject({
        '=x': '',
        ...inputs[at],
        index: String(at),
        status: [1, 3, 4].includes(at) ? 'failed' : 'succeeded',
      });
    }
    expect(rowsOf(await csv(id, '?inputs=only&status=failed'))).toEqual(
      [1, 3, 4].map((at) => ({ '=x': '', ...inputs[at] })),
    );
  });

  test('bring rows with too few or too many cells back as they came, and no name twice', async () => {
    const id = await uploaded(['a', 'status'], [['5'], ['6', '7', '8'], { a: '1', status: 'x' }]);
    await work(app.database);
    expect((await csv(id, '?inputs=only')).text).toBe('a,status\n5\n6,7,8\n1,x\n');
    const [head, ...rows] = (await csv(id, '?inputs=true')).text.split('\n');
    expect(head).toBe('a,status,index,result.status,attempts,output,errorCode,errorMessage,finishedAt');
    expect(rows.slice(0, 3).map((row) => row.split(',').slice(0, 4))).toEqual([
      ['5', '', '0', 'succeeded'],
      ['6', '7', '1', 'succeeded'],
      ['1', 'x', '2', 'succeeded'],
    ]);
    const lines = (
      await ask(app, `/v1/batches/${id}/results?inputs=only`, { headers: { accept: 'application/x-ndjson' } })
    ).text;
    expect(lines).toBe('["5"]\n["6","7","8"]\n{"a":"1","status":"x"}\n');
  });

  test('keep a row whose only cell is empty', async () => {
    const id = await uploaded(['a'], [{ a: '' }, { a: 'x' }, { a: '' }, { a: 7 }, { a: null }, {}]);
    await work(app.database);
    const { text } = await csv(id, '?inputs=only');
    expect(text).toBe('a\n""\nx\n""\n7\nnull\n""\n');
  });

  test('bring inputs that did not come as CSV as JSON, and none of a count batch', async () => {
    const inputs = [{ a: 1, b: 'ü,"' }, { a: 2 }];
    const { id } = await app.client.submit({ handler: 'echo', inputs });
    await work(app.database);
    expect(rowsOf(await csv(id, '?inputs=true')).map(({ input }) => JSON.parse(input!))).toEqual(inputs);
    const count = await app.client.submit({ handler: 'echo', count: 2 });
    await work(app.database);
    expect((await csv(count.id, '?inputs=only')).text).toBe('input\n""\n""\n');
    expect((await ndjson(id, '?inputs=true')).map(({ input }) => input)).toEqual(inputs);
    expect((await ndjson(count.id, '?inputs=true')).map(({ input }) => input)).toEqual([null, null]);
    expect((await ndjson(id))[0]).not.toHaveProperty('input');
  });

  test('make formulas text where that is asked for', async () => {
    const inputs = ['=1', '+1', '-1', '@x', '\tx', '\rx', 'x=1'].map((a) => ({ a }));
    const id = await uploaded(['a', '=b'], inputs);
    await work(app.database);
    const plain = parse((await csv(id, '?inputs=only')).text);
    expect(plain.map(([a]) => a)).toEqual(['a', ...inputs.map(({ a }) => a)]);
    const safe = parse((await csv(id, '?inputs=only&escapeFormulas=true')).text);
    expect(safe.map(([a]) => a)).toEqual(['a', "'=1", "'+1", "'-1", "'@x", "'\tx", "'\rx", 'x=1']);
    expect(safe[0]).toEqual(['a', "'=b"]);
  });

  test('of a batch that runs say so in a header, known before the first row', async () => {
    const { id } = await app.client.submit({ handler: 'echo', count: 8, options: { chunkSize: 4 } });
    await work(app.database, { chunks: 1 });
    const answer = await csv(id);
    expect(answer.headers['bullpen-complete']).toBe('false');
    expect(rowsOf(answer).length).toBe(4);
    for (const accept of ['text/csv', 'application/x-ndjson']) {
      const head = await ask(app, `/v1/batches/${id}/results`, { method: 'HEAD', headers: { accept } });
      expect(head).toMatchObject({ status: 200, text: '' });
      expect(head.headers['bullpen-complete']).toBe('false');
      expect(head.headers['content-type']).toContain(accept);
    }
    await work(app.database);
    expect((await csv(id)).headers['bullpen-complete']).toBe('true');
  });
});

describe('a stream of results', () => {
  let id: string;
  const count = 5000;
  beforeAll(async () => {
    ({ id } = await app.client.submit({ handler: 'echo', count }));
    while ((await work(app.database, { fail: new Set([7, 4321]) })) > 0);
  });

  test('goes on after an index or where a page ended, and CSV says its header again', async () => {
    expect((await ndjson(id)).map(({ index }) => index)).toEqual(Array.from({ length: count }, (_, index) => index));
    expect((await ndjson(id, '?after=4996')).map(({ index }) => index)).toEqual([4997, 4998, 4999]);
    expect((await ndjson(id, '?after=7&status=failed')).map(({ index }) => index)).toEqual([4321]);
    const { nextCursor } = await app.client.results(id, { limit: 10 });
    expect((await ndjson(id, `?cursor=${nextCursor}`))[0]!['index']).toBe(10);
    const rows = rowsOf(await csv(id, '?after=4990&inputs=true'));
    expect(rows.map(({ index }) => index)).toEqual([
      '4991',
      '4992',
      '4993',
      '4994',
      '4995',
      '4996',
      '4997',
      '4998',
      '4999',
    ]);
    expect(rowsOf(await csv(id, `?cursor=${nextCursor}`))[0]!['index']).toBe('10');
  });

  test('with inputs far larger than its outputs comes whole', async () => {
    const large = 'x'.repeat(200_000);
    const columns = ['a'];
    const other = await uploaded(
      columns,
      [0, 1, 2, 3, 4].map((at) => ({ a: `${at}${large}` })),
    );
    await work(app.database);
    expect(rowsOf(await csv(other, '?inputs=only')).map(({ a }) => a![0])).toEqual(['0', '1', '2', '3', '4']);
    expect((await ndjson(other, '?inputs=true')).length).toBe(5);
  });
});

/** A reader that stops after the head of the answer. */
async function stopped(other: TestApp, id: string): Promise<Socket> {
  const socket = connect(Number(new URL(other.url).port), '127.0.0.1');
  socket.write(`GET /v1/batches/${id}/results HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n`);
  await once(socket, 'readable');
  return socket;
}

/** Outputs of so many bytes in all that no socket takes them at once. */
async function large(other: TestApp): Promise<string> {
  const { id } = await other.client.submit({ handler: 'echo', count: 60 });
  await work(other.database);
  const { no } = (await other.database.statements.counts(id))!;
  await other.database.db.execute(sql`update results set output = to_json(repeat('x', 1000000)) where batch = ${no}`);
  return id;
}

describe('readers of results', () => {
  test('are bounded: one too many is told to come back, and may when another has left', async () => {
    const other = await openApp({ limits: { streamsMax: 2 } });
    try {
      const id = await large(other);
      const readers = [await stopped(other, id), await stopped(other, id)];
      const accept = { headers: { accept: 'text/csv' } };
      const refused = await ask(other, `/v1/batches/${id}/results`, accept);
      expect({ status: refused.status, type: refused.body.type }).toEqual({ status: 503, type: '/problems/busy' });
      expect(refused.headers['retry-after']).toBe('5');
      expect((await ask(other, `/v1/batches/${id}/results`, { method: 'HEAD', ...accept })).status).toBe(200);
      expect((await ask(other, `/v1/batches/${id}/results`)).status).toBe(200);
      for (const reader of readers) reader.destroy();
      await eventually('a stream is free', async () => {
        const { status } = await ask(other, `/v1/batches/${id}/results?after=58`, accept);
        return status === 200;
      });
    } finally {
      await other.close();
    }
  });

  test('that take nothing for too long are left', async () => {
    const other = await openApp({ limits: { streamsMax: 1, patienceMs: 300 } });
    try {
      const id = await large(other);
      const reader = await stopped(other, id);
      await eventually('its stream is free', async () => {
        const { status } = await ask(other, `/v1/batches/${id}/results?after=58`, { headers: { accept: 'text/csv' } });
        return status === 200;
      });
      reader.on('error', () => undefined).resume();
      await once(reader, 'close');
    } finally {
      await other.close();
    }
  });

  test('see that a stream broke off by its end without the last chunk', async () => {
    const other = await openApp();
    try {
      const id = await large(other);
      const reader = await stopped(other, id);
      let end = '';
      await other.database.refuse(true);
      reader.on('data', (part: Buffer) => (end = (end + part.toString('latin1')).slice(-100)));
      reader.on('error', () => undefined);
      await once(reader, 'close');
      expect(end).not.toContain('\r\n0\r\n\r\n');
      await other.database.refuse(false);
      expect(
        (await ask(other, `/v1/batches/${id}/results?after=58`, { headers: { accept: 'application/x-ndjson' } })).text
          .length,
      ).toBeGreaterThan(1_000_000);
    } finally {
      await other.close();
    }
  });
});
