import { setTimeout as sleep } from 'node:timers/promises';
import { defineHandler, type Handler, loadHandlers } from '@bullpen/handlers';
import { createLog } from '@bullpen/runtime';
import { eventually } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createFold, foldRound } from '../src/publish/fold.ts';
import { createReducer, type Reducer } from '../src/reduce/reducer.ts';
import { ask, openApp, openReducer, post, type TestApp, work } from './http-app.ts';

const handlers = new Map([
  ...(await loadHandlers(['libs/testkit/handlers'])),
  ['add', defineHandler({ name: 'add', description: '', run: () => 1 }) as Handler],
]);

let app: TestApp;
/** One that gives up soon. */
let reducer: Reducer;
beforeAll(async () => {
  reducer = openReducer(500);
  app = await openApp({ handlers, reducer });
});
afterAll(async () => {
  await reducer.close();
  await app.close();
});
beforeEach(async () => void (await app.database.db.execute(sql`delete from partials`)));

const submit = async (body: object = {}): Promise<string> =>
  (await post(app, { handler: 'reducing', count: 10, params: { times: 2 }, ...body })).body.id as string;
const show = async (id: string) => (await ask(app, `/v1/batches/${id}`)).body;
const partials = async (id: string, texts: readonly string[]): Promise<void> => {
  await app.database.db.execute(sql`insert into partials (batch, partial)
    select b.no, t::json from batches b cross join json_array_elements_text(${JSON.stringify(texts)}::json) t where b.id = ${id}`);
};
const left = async (): Promise<number> =>
  ((await app.database.db.execute(sql`select count(*)::int as n from partials`)) as unknown as [{ n: number }])[0].n;
const folder = (by = reducer) =>
  createFold({
    statements: app.database.statements,
    handlers,
    reducer: by,
    log: createLog({ name: 'test', level: 'silent', pretty: false }),
  });

describe('the summary of a batch', () => {
  it('is null without a reduce, before anything was reduced, and in lists', async () => {
    const plain = await submit({ handler: 'add', params: undefined });
    await partials(plain, ['{"n":1}']);
    expect(await show(plain)).toMatchObject({ summary: null });
    const id = await submit();
    expect(await show(id)).toMatchObject({ summary: null });
    await partials(id, ['{"n":1}']);
    const { body } = await ask(app, '/v1/batches?limit=2');
    expect(body.items.map(({ summary }: { summary: unknown }) => summary)).toEqual([null, null]);
  });

  it('is the same before, between and after folds, with the counts of the same moment', async () => {
    const id = await submit();
    await partials(id, ['{"n":1}', '{"n":2}']);
    expect(await show(id)).toMatchObject({ summary: { n: 6 } });
    const foldOnce = folder();
    expect(await foldOnce(null)).toBe(2);
    expect([await left(), (await show(id)).summary]).toEqual([0, { n: 6 }]);
    await partials(id, ['{"n":4}']);
    expect(await show(id)).toMatchObject({ summary: { n: 14 }, counts: { succeeded: 0 } });
    expect(await foldOnce(null)).toBe(1);
    expect(await foldOnce(null)).toBe(0);
    await work(app.database);
    expect(await show(id)).toMatchObject({ state: 'completed', summary: { n: 14 }, counts: { succeeded: 10 } });
  });

  it('is folded on the way where too much has piled up', async () => {
    const id = await submit();
    await partials(
      id,
      Array.from({ length: 1800 }, () => '{"n":1}'),
    );
    expect(await show(id)).toMatchObject({ summary: { n: 3600 } });
    expect(await left()).toBe(300);
  });

  it.each([
    ['a worker could not reduce', 'null', 'a part of this batch could not be reduced'],
    ['merge throws', 13, 'thirteen'],
    ['merge makes too much', 14, 'what reduce made has'],
    ['merge never ends', 15, 'longer than 500 ms'],
    ['merge answers a promise', 16, 'answered a promise'],
    ['merge exits', 17, 'ended its thread'],
    ['merge makes a number that JSON does not know', 19, 'n Infinity'],
    ['merge fills memory', 20, 'reduce '],
  ])('is unknown from then on where %s, which is said, and other batches are folded', async (_, kind, why) => {
    const texts = ['{"n":1}', kind === 'null' ? kind : `{"n":${kind}}`];
    const [broken, good] = [await submit(), await submit()];
    await partials(broken, texts);
    await partials(good, ['{"n":1}', '{"n":5}']);
    // Nobody waits longer than 2 s for a summary; a busy machine takes more until memory is full, and only that may take so long.
    const told = await eventually('it is said', async () => {
      const shown = await show(broken);
      return kind === 20 && /still being made/.test(shown.summaryError) ? null : shown;
    });
    expect(told).toMatchObject({ state: 'running', summary: null, summaryError: expect.stringContaining(why) });
    await foldRound(folder());
    expect(await left()).toBe(0);
    await partials(broken, ['{"n":2}']);
    expect(await show(broken)).toMatchObject({ summary: null, summaryError: expect.any(String) });
    expect(await show(good)).toMatchObject({ summary: { n: 12 }, summaryError: null });
  });

  it.each([
    ['throws', 'thirteen'],
    ['loops', 'longer than 500 ms'],
    ['answersLate', 'answered a promise'],
  ])('is null where summary %s, and the batch is shown', async (summary, why) => {
    const id = await submit({ params: { summary } });
    await partials(id, ['{"n":1}']);
    for (let look = 0; look < 2; look += 1)
      expect(await show(id)).toMatchObject({
        state: 'running',
        summary: null,
        summaryError: expect.stringContaining(why),
      });
  });

  it('is null where the params do not fit any more, and the batch is shown', async () => {
    const other = await submit();
    await partials(other, ['{"n":1}']);
    await app.database.db.execute(sql`update batches set params = '{"times":"2"}' where id = ${other}`);
    expect(await show(other)).toMatchObject({ state: 'running', summary: null, summaryError: expect.any(String) });
  });

  it.each(['an error', 'answers that nobody asked for', 'a loop'])(
    'is made though another batch has left %s behind in the thread',
    async (what) => {
      const params = { 'answers that nobody asked for': { summary: 'lies' }, 'a loop': { summary: 'loopsLater' } }[
        what
      ];
      const [rude, good] = [await submit(params && { params }), await submit()];
      await partials(rude, params ? ['{"n":1}'] : ['{"n":1}', '{"n":18}']);
      await partials(good, ['{"n":1}', '{"n":5}']);
      await show(rude);
      await sleep(20);
      for (let look = 0; look < 30; look += 1)
        expect(await show(good)).toMatchObject({ summary: { n: 12 }, summaryError: null });
      await foldRound(folder());
      expect(await show(good)).toMatchObject({ summary: { n: 12 }, summaryError: null });
    },
  );

  it('waits for a thread that does not start: no batch is to blame', async () => {
    const id = await submit();
    await partials(id, ['{"n":1}', '{"n":2}']);
    const gone = createReducer({ folders: [], file: new URL('file:///gone.mjs') });
    await expect(folder(gone)(null)).rejects.toThrow('does not start');
    expect(await left()).toBe(2);
    expect(await show(id)).toMatchObject({ summary: { n: 6 } });
    const other = await openApp({ handlers, reducer: gone });
    try {
      const there = (await post(other, { handler: 'reducing', count: 1, params: {} })).body.id as string;
      await other.database.db.execute(sql`insert into partials (batch, partial) select no, '{"n":1}' from batches`);
      const late = { summary: null, summaryError: expect.stringContaining('at the moment') };
      expect(await ask(other, `/v1/batches/${there}`)).toMatchObject({ status: 200, body: late });
    } finally {
      await other.close();
    }
  });

  it('is made though the thread has just been idle for long enough to end', async () => {
    const quick = openReducer(10_000, 10);
    for (let round = 0; round < 20; round += 1) {
      const asked = { handler: 'reducing', texts: ['{"n":1}', '{"n":2}'] };
      expect(await Promise.all([quick.ask(asked), quick.ask(asked)])).toEqual(['{"n":3}', '{"n":3}']);
      await sleep(8 + (round % 5));
    }
    await quick.close();
  });

  it('is made while another handler loops, and a batch whose own takes long is shown without', async () => {
    const patient = await openApp({ handlers });
    try {
      const good = (await post(patient, { handler: 'reducing-too', count: 1, params: {} })).body.id as string;
      const id = (await post(patient, { handler: 'reducing', count: 1, params: { summary: 'loops' } })).body
        .id as string;
      for (const batch of [good, id])
        await patient.database.db.execute(
          sql`insert into partials (batch, partial) select no, '{"n":1}' from batches where id = ${batch}`,
        );
      const looks = await Promise.all([id, id, good].map((batch) => ask(patient, `/v1/batches/${batch}`)));
      const late = { counts: { total: 1 }, summary: null, summaryError: expect.stringContaining('look again') };
      expect(looks.map(({ status }) => status)).toEqual([200, 200, 200]);
      expect(looks.map(({ body }) => body)).toMatchObject([late, late, { summary: { n: 1 } }]);
      expect((await ask(patient, `/v1/batches/${id}`)).body).toMatchObject(late);
    } finally {
      await patient.close();
    }
  });

  it('loses nothing when two producers fold while parts still come', async () => {
    const id = await submit();
    let coming = true;
    const fold = async (): Promise<void> => {
      const foldOnce = folder();
      for (let folded = 1; coming || folded > 0;) folded = await foldOnce(null);
    };
    const folding = [fold(), fold()];
    for (let round = 0; round < 20; round += 1) await partials(id, ['{"n":1}', '{"n":2}']);
    coming = false;
    await Promise.all(folding);
    expect(await eventually('all is folded', async () => (await left()) === 0)).toBe(true);
    expect(await show(id)).toMatchObject({ summary: { n: 120 } });
  });
});
