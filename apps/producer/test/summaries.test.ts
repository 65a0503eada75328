import { defineHandler, type Handler } from '@bullpen/handlers';
import { createLog } from '@bullpen/runtime';
import { eventually } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createFold, foldRound } from '../src/publish/fold.ts';
import { ask, openApp, post, type TestApp, work } from './http-app.ts';

/** Sums numbers; its params can make each part of it fail. */
const counting = defineHandler({
  name: 'echo',
  description: 'Sums',
  params: z.object({ times: z.number(), broken: z.enum(['summary']).optional() }),
  run: () => 1,
  reduce: {
    zero: () => ({ n: 0 }),
    add: (acc, n: number) => ({ n: acc.n + n }),
    merge: (a, b) => {
      if (b.n === 13) throw new Error('thirteen');
      return b.n === 14 ? { n: 14, text: 'x'.repeat(300_000) } : { n: a.n + b.n };
    },
    summary: ({ n }, { times, broken }) => {
      if (broken === 'summary') throw new Error('no summary');
      return { n: n * times };
    },
  },
}) as unknown as Handler;
const handlers = new Map([
  ['echo', counting],
  ['add', defineHandler({ name: 'add', description: '', run: () => 1 })],
]);

let app: TestApp;
beforeAll(async () => void (app = await openApp({ handlers })));
afterAll(() => app.close());
beforeEach(async () => void (await app.database.db.execute(sql`delete from partials`)));

const submit = async (body: object = {}): Promise<string> =>
  (await post(app, { handler: 'echo', count: 10, params: { times: 2 }, ...body })).body.id as string;
const show = async (id: string) => (await ask(app, `/v1/batches/${id}`)).body;
const partials = async (id: string, texts: readonly string[]): Promise<void> => {
  await app.database.db.execute(sql`insert into partials (batch, partial)
    select b.no, t::json from batches b cross join json_array_elements_text(${JSON.stringify(texts)}::json) t where b.id = ${id}`);
};
const left = async (): Promise<number> =>
  ((await app.database.db.execute(sql`select count(*)::int as n from partials`)) as unknown as [{ n: number }])[0].n;
const folder = () =>
  createFold({
    statements: app.database.statements,
    handlers,
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
    ['a worker could not reduce', ['{"n":1}', 'null']],
    ['merge throws', ['{"n":1}', '{"n":13}']],
    ['merge makes too much', ['{"n":1}', '{"n":14}']],
  ])('is unknown from then on where %s, and other batches are folded', async (_, texts) => {
    const [broken, good] = [await submit(), await submit()];
    await partials(broken, texts);
    await partials(good, ['{"n":1}', '{"n":5}']);
    expect(await show(broken)).toMatchObject({ state: 'running', summary: null });
    await foldRound(folder());
    expect(await left()).toBe(0);
    await partials(broken, ['{"n":2}']);
    expect(await show(broken)).toMatchObject({ summary: null });
    expect(await show(good)).toMatchObject({ summary: { n: 12 } });
  });

  it('is null where summary throws or the params do not fit any more, and the batch is shown', async () => {
    const id = await submit({ params: { times: 2, broken: 'summary' } });
    await partials(id, ['{"n":1}']);
    expect(await show(id)).toMatchObject({ state: 'running', summary: null });
    const other = await submit();
    await partials(other, ['{"n":1}']);
    await app.database.db.execute(sql`update batches set params = '{}' where id = ${other}`);
    expect(await show(other)).toMatchObject({ state: 'running', summary: null });
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
