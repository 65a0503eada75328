import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, openApp, post, type TestApp, work } from './http-app.ts';

let app: TestApp;
beforeAll(async () => void (app = await openApp()));
afterAll(() => app.close());

const read = async (id: string): Promise<{ counted: boolean; lines: unknown[] }> => {
  const lines: unknown[] = [];
  for await (const line of app.client.inputLines(id)) lines.push(JSON.parse(line));
  return { counted: await app.client.isCounted(id), lines };
};
const given = (inputs: readonly unknown[]) => inputs.map((input, index) => ({ index, input }));

describe('the inputs of a batch', () => {
  test('stand a line each with their index, whether there is a result or not', async () => {
    const inputs = Array.from({ length: 25 }, (_, a) => ({ a, text: 'two\nlines' }));
    const { id } = await app.client.submit({ handler: 'echo', inputs, options: { chunkSize: 10 } });
    expect(await read(id)).toEqual({ counted: false, lines: given(inputs) });
    await work(app.database, { chunks: 1 });
    expect((await read(id)).lines).toEqual(given(inputs));
  });

  test('are none of a count, and that is said', async () => {
    const { id } = await app.client.submit({ handler: 'echo', count: 5000 });
    expect(await read(id)).toEqual({ counted: true, lines: [] });
  });

  test('of a batch with groups have the index that they were given', async () => {
    const inputs = Array.from({ length: 50 }, (_, at) => ({ key: `k${at % 7}`, at }));
    const { id } = await app.client.submit({ handler: 'echo', inputs, options: { groupBy: 'key', chunkSize: 5 } });
    const { lines } = await read(id);
    const byIndex = (lines as { index: number }[]).sort((a, b) => a.index - b.index);
    expect(byIndex).toEqual(given(inputs));
  });

  test('of an open batch are those of all appends; that retention took them is no count', async () => {
    const { id } = await app.client.submit({ handler: 'echo', options: { open: true } });
    await app.client.append(id, [1, 2]);
    await app.client.append(id, [3]);
    expect(await read(id)).toEqual({ counted: false, lines: given([1, 2, 3]) });
    await app.database.db.execute(sql`
      with gone as (delete from inputs where batch = (select no from batches where id = ${id}))
      insert into chunks (batch, first, size, src, state) select no, 0, 3, -1, 'done' from batches where id = ${id}`);
    expect(await read(id)).toEqual({ counted: false, lines: [] });
  });

  test('are asked for as NDJSON, without a query, of a batch that is there', async () => {
    const { id } = await app.client.submit({ handler: 'echo', inputs: [1] });
    const path = `/v1/batches/${id}/inputs`;
    const head = await ask(app, path, { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, text: '', headers: { 'bullpen-counted': 'false' } });
    expect(await ask(app, path, { headers: { accept: 'text/csv' } })).toMatchObject({ status: 406 });
    expect(await ask(app, `${path}?after=1`)).toMatchObject({ status: 422 });
    expect(await post(app, {}, {}, path)).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
    expect(await ask(app, '/v1/batches/0198c3a4-7a1e-7000-8000-00000000ffff/inputs')).toMatchObject({ status: 404 });
  });
});
