import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, openApp, type TestApp, work } from './http-app.ts';

let app: TestApp;
let id: string;
let cursor: string;
beforeAll(async () => {
  app = await openApp();
  ({ id } = await app.client.submit({ handler: 'echo', count: 5 }));
  await work(app.database);
  cursor = (await app.client.results(id, { status: 'succeeded', limit: 1 })).nextCursor!;
});
afterAll(() => app.close());

const json = 'application/json';
const lines = 'application/x-ndjson';
const csv = 'text/csv';

describe('a query of results that means nothing is refused', () => {
  test.each([
    [lines, 'limit=3', '?limit'],
    [csv, 'limit=3', '?limit'],
    [csv, 'status=cancelled', '?status'],
    [json, 'after=3', '?after'],
    [json, 'inputs=true', '?inputs'],
    [json, 'escapeFormulas=true', '?escapeFormulas'],
    [lines, 'inputs=alone', '?inputs'],
    [lines, 'inputs=1', '?inputs'],
    [csv, 'inputs=yes', '?inputs'],
    [csv, 'inputs=', '?inputs'],
    [lines, 'escapeFormulas=true', '?escapeFormulas'],
    [csv, 'escapeFormulas=1', '?escapeFormulas'],
    ...[lines, csv].flatMap((type): [string, string, string][] => [
      [type, 'after=-1', '?after'],
      [type, 'after=01', '?after'],
      [type, 'after=1.5', '?after'],
      [type, 'after=', '?after'],
      [type, 'after=9007199254740993', '?after'],
      [type, 'after=1&cursor=CURSOR&status=succeeded', '?after'],
      [type, 'after=1&after=2', '?after'],
      [type, 'cursor=CURSOR', '?cursor'],
      [type, 'cursor=CURSOR&status=failed', '?cursor'],
      [type, 'cursor=nonsense', '?cursor'],
    ]),
  ])('%s %s', async (accept, query, pointer) => {
    const path = `/v1/batches/${id}/results?${query.replace('CURSOR', cursor)}`;
    const { status, body } = await ask(app, path, { headers: { accept } });
    expect({ status, type: body.type }).toEqual({ status: 422, type: '/problems/invalid' });
    expect(body.errors).toEqual([{ pointer, message: expect.any(String) }]);
  });

  test.each([
    [lines, `cursor=CURSOR&status=succeeded`, 4],
    [csv, `cursor=CURSOR&status=succeeded`, 5],
    [lines, 'after=9007199254740991', 0],
    [csv, 'after=2147483647&inputs=false&escapeFormulas=false', 1],
  ])('but %s %s is fine', async (accept, query, count) => {
    const path = `/v1/batches/${id}/results?${query.replace('CURSOR', cursor)}`;
    const { status, text } = await ask(app, path, { headers: { accept } });
    expect({ status, count: text.split('\n').length - 1 }).toEqual({ status: 200, count });
  });
});
