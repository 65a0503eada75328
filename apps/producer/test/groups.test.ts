import { createGroupKey, lineOf } from '@bullpen/handlers';
import { checkLedger } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createItemInputs } from '../src/http/item-inputs.ts';
import { type Answer, ask, openApp, post, type TestApp } from './http-app.ts';

const partitions = 4;
let app: TestApp;
beforeAll(async () => void (app = await openApp()));
afterAll(() => app.close());

interface Row {
  line: number;
  first: number;
  place: number;
  src: number;
  size: number;
  picks: number[] | null;
  state: string;
  indexes: number[];
  items: unknown[];
}

/** The chunks of a batch with the inputs that they point to, in the order of their places. */
const rowsOf = async (id: string): Promise<Row[]> => {
  const rows = await app.database.db.execute<{ row: string }>(sql`
    select json_build_object('line', c.line, 'first', c.first, 'place', c.place, 'src', c.src, 'size', c.size, 'picks', c.picks,
      'state', c.state, 'indexes', i.indexes, 'items', i.items::json)::text as row
    from batches b join chunks c on c.batch = b.no join inputs i on i.batch = b.no and i.first = c.src
    where b.id = ${id}::uuid and b.keyed order by c.place`);
  return rows.map(({ row }) => JSON.parse(row) as Row);
};

/** Checks that each item stands once in the row and the line that are its own; answers the items by their index. */
async function itemsOf(id: string, groupBy: string): Promise<unknown[]> {
  const items: unknown[] = [];
  const keyOf = createGroupKey(groupBy);
  for (const row of await rowsOf(id)) {
    expect(row.src).toBe(row.indexes[0]);
    expect([row.first, row.place]).toEqual([(row.picks ?? row.indexes)[0], (row.picks ?? row.indexes)[0]]);
    expect(row.indexes.length).toBe(row.items.length);
    expect(row.size).toBe((row.picks ?? row.indexes).length);
    for (const [at, index] of row.indexes.entries()) {
      expect(items[index]).toBeUndefined();
      items[index] = row.items[at];
      const key = keyOf(row.items[at]);
      if (key !== null) expect(row.line).toBe(lineOf(key, partitions));
    }
  }
  const batch = await app.client.getBatch(id);
  expect(items.filter((item) => item !== undefined).length).toBe(batch.counts.total);
  return items;
}

const idOf = ({ status, body }: Answer): string => {
  expect(status, JSON.stringify(body)).toBe(202);
  return body.id as string;
};

const inputs = Array.from({ length: 300 }, (_, i) =>
  i % 7 === 0 ? { a: i } : { a: i, k: [`customer ${i % 11}`, i % 5, true][i % 3] },
);
const lines = (items: readonly unknown[]): string => items.map((item) => `${JSON.stringify(item)}\n`).join('');
const nd = { 'content-type': 'application/x-ndjson' };
const options = { groupBy: 'k', ordered: true };

describe('a batch with groups', () => {
  it('stands in lines, whichever way it comes', async () => {
    const long = inputs.map((item) => ({ ...item, text: 'x'.repeat(600) }));
    const header = Buffer.from(JSON.stringify({ options: { groupBy: '/k' } })).toString('base64url');
    const sent: [Answer, unknown[]][] = [
      [await post(app, { handler: 'echo', inputs, options }), inputs],
      [await post(app, { handler: 'echo', inputs: long, options }), long],
      [await post(app, lines(inputs), nd, '/v1/batches?handler=echo&groupBy=k&ordered=true'), inputs],
      [await post(app, lines(inputs), { ...nd, 'bullpen-options': header }, '/v1/batches?handler=echo'), inputs],
    ];
    for (const [answer, expected] of sent) expect(await itemsOf(idOf(answer), 'k')).toEqual(expected);
    expect(sent[0]![0].body.options).toMatchObject({ groupBy: 'k', ordered: true });
    expect(sent[3]![0].body.options).toMatchObject({ groupBy: '/k', ordered: false });
    // A row a line: more of them would help nobody.
    for (const at of [0, 1, 2]) expect((await rowsOf(sent[at]![0].body.id)).length).toBe(partitions);
    expect(await checkLedger(app.database)).toEqual([]);
  });

  it('reads the keys of CSV from the cells as its handler sees them', async () => {
    const csv = `a,b,7\n${Array.from({ length: 60 }, (_, i) => `${i},${i % 4},g${i % 3}\n`).join('')}`;
    const send = (query: string): Promise<Answer> =>
      post(app, csv, { 'content-type': 'text/csv' }, `/v1/batches?handler=add&${query}`);
    const id = idOf(await send('groupBy=7&groupConcurrency=2'));
    expect(await itemsOf(id, '7')).toEqual(Array.from({ length: 60 }, (_, i) => ({ a: i, b: i % 4, 7: `g${i % 3}` })));
    expect((await app.client.getBatch(id)).options).toMatchObject({ groupBy: '7', groupConcurrency: 2 });
    expect((await itemsOf(idOf(await send('groupBy=b')), 'b')).length).toBe(60);
    for (const groupBy of ['customer', '/customer/id']) {
      const refused = await send(`groupBy=${encodeURIComponent(groupBy)}&ordered=true`);
      const message = 'has no column "customer", by which groupBy reads the group of a row';
      expect(refused).toMatchObject({ status: 422, body: { errors: [{ line: 1, message }] } });
    }
  });

  it('is refused where no item has a key', async () => {
    const none = [{ a: 1 }, { a: 2, k: null }];
    const refusal = { status: 422, body: { errors: [{ pointer: '/options/groupBy' }] } };
    const large = [...none, { text: 'x'.repeat(200_000) }];
    for (const each of [none, large])
      expect(await post(app, { handler: 'echo', inputs: each, options })).toMatchObject(refusal);
    for (const query of ['', '&onInvalid=skip', '&validate=only'])
      expect(await post(app, lines(none), nd, `/v1/batches?handler=echo&groupBy=k${query}`)).toMatchObject(refusal);
    const one = [...none, { k: 0 }];
    idOf(await post(app, { handler: 'echo', inputs: one, options }));
    idOf(await post(app, lines(one), nd, '/v1/batches?handler=echo&groupBy=k'));
    // One that is open may get its keys later.
    idOf(await post(app, { handler: 'echo', inputs: none, options: { ...options, open: true } }));
    idOf(await post(app, lines(none), nd, '/v1/batches?handler=echo&groupBy=k&open=true'));
  });

  it('is appended to in its lines', async () => {
    const id = idOf(
      await post(app, { handler: 'echo', inputs: inputs.slice(0, 50), options: { ...options, open: true } }),
    );
    const append = async (body: unknown, headers = {}): Promise<number> =>
      (await post(app, body, headers, `/v1/batches/${id}/items`)).body.firstIndex as number;
    expect(await append(inputs.slice(50, 60))).toBe(50);
    expect(await append(lines(inputs.slice(60, 200)), nd)).toBe(60);
    const long = inputs.slice(200).map((item) => ({ ...item, text: 'x'.repeat(2000) }));
    expect(await append(long)).toBe(200);
    expect(await itemsOf(id, 'k')).toEqual([...inputs.slice(0, 200), ...long]);
    // Begun without an item, it is one with groups too.
    const empty = idOf(await post(app, { handler: 'echo', options: { groupBy: 'k', open: true } }));
    for (let i = 0; i < 30; i += 1) await post(app, [{ i }], {}, `/v1/batches/${empty}/items`);
    expect(new Set((await rowsOf(empty)).map(({ line }) => line)).size).toBe(partitions);
    expect(await checkLedger(app.database)).toEqual([]);
  });

  it('keeps lines that were skipped in rows that a retry finds', async () => {
    const body = `{"a":1,"k":"x"}\n{"a":"no","k":"x"}\nno JSON\n{"a":2,"k":"x"}\n{"a":"no","k":"y"}\n`;
    const id = idOf(await post(app, body, nd, '/v1/batches?handler=add&groupBy=k&onInvalid=skip&chunkSize=3'));
    expect((await app.client.getBatch(id)).counts).toMatchObject({ total: 5, failed: 3, pending: 2 });
    const rows = (await rowsOf(id)).filter(({ line }) => line === lineOf('x', partitions));
    expect(rows.flatMap(({ picks, indexes }) => picks ?? indexes)).toContain(3);
    const all = (await rowsOf(id)).flatMap(({ indexes }) => indexes);
    expect(all.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
    const nothing = idOf(await post(app, 'x\ny\n', nd, '/v1/batches?handler=add&groupBy=k&onInvalid=skip'));
    expect(await rowsOf(nothing)).toMatchObject([
      { state: 'done', size: 0 },
      { state: 'done', size: 0 },
    ]);
    expect((await app.client.getBatch(nothing)).state).toBe('completed');
    expect(await checkLedger(app.database)).toEqual([]);
  });

  it('gives its results with their inputs, and reads each row of inputs once', async () => {
    const id = idOf(await post(app, { handler: 'echo', inputs, options: { ...options, chunkSize: 9 } }));
    const rows = await rowsOf(id);
    const [{ no }] = (await app.database.db.execute(sql`select no from batches where id = ${id}::uuid`)) as unknown as [
      { no: number },
    ];
    for (const step of [1, 7, 100]) {
      let reads = 0;
      const inputOf = createItemInputs(
        { inputs: (request) => ((reads += 1), app.database.statements.inputs(request)) },
        no,
      );
      for (let index = step - 1; index < inputs.length; index += step)
        expect(await inputOf(index)).toEqual(inputs[index]);
      expect(reads).toBeLessThanOrEqual(Math.min(rows.length, inputs.length / step));
    }
    await app.database.db.execute(sql`
      insert into results (batch, index, finished_at, status, attempt, output)
      select ${no}::int, i, now(), 1, 1, '1' from generate_series(0, ${inputs.length - 1}::int) i`);
    const { text } = await ask(app, `/v1/batches/${id}/results?inputs=only`, {
      headers: { accept: 'application/x-ndjson' },
    });
    expect(text).toBe(lines(inputs));
  });

  it('of which something is missing does not go live', async () => {
    const { statements } = app.database;
    const id = '0198c3a4-7a1e-7000-8000-000000000001';
    const no = await statements.openUpload({ owner: '', id, key: null, leaseMs: 5000 });
    const chunk = (first: number, line: number) => ({
      first, line, size: 2, items: '[1,2]', indexes: [first, first + 2], skipped: [],
    }); // prettier-ignore
    await statements.put({ no, chunks: [chunk(0, 0), chunk(1, 3)] });
    const live = (chunks: number, total: number, keyed = true): Promise<boolean> =>
      statements.goLive({
        id, no, chunks, total, keyed, skipped: 0, name: null, handler: 'echo', params: null, options: '{}',
      }); // prettier-ignore
    expect([await live(3, 4), await live(2, 5), await live(2, 4, false)]).toEqual([false, false, false]);
    expect(await live(2, 4)).toBe(true);
  });
});
