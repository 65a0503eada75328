import { randomUUID } from 'node:crypto';
import type { Settled } from '@bullpen/db';
import { databaseForTest, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, it } from 'vitest';
import { acceptBatch, claimSome, type Held, whole } from './work.ts';

const handlers = ['echo'];

/** No output is kept; the partial may be. */
const settled = (held: Held, partial?: string): Settled =>
  whole(held, { outputs: '', indexes: [], ...(partial !== undefined && { partial }) });

const rowsOf = async ({ db }: TestDatabase): Promise<{ batch: number; partial: unknown }[]> =>
  (await db.execute(sql`select batch, partial from partials order by no`)) as unknown as {
    batch: number;
    partial: unknown;
  }[];

describe('flush', () => {
  it('keeps the partial of a chunk that it settles, once, and none of one that another claim holds', async () => {
    const database = await databaseForTest();
    const { no, id } = await acceptBatch(database, { total: 30, size: 10 });
    const [old, young] = [randomUUID(), randomUUID()];
    const [a, b, c] = (await claimSome(database, { claim: old })) as [Held, Held, Held];
    await database.db.execute(sql`update chunks set claim = ${young} where no = ${b.no}`);
    const flush = [settled(a, '{"n":1}'), settled(b, '{"n":2}'), settled(c)];
    expect((await database.statements.flush(flush)).map((row) => row.no).sort((x, y) => x - y)).toEqual([a.no, c.no]);
    expect(await rowsOf(database)).toEqual([{ batch: no, partial: { n: 1 } }]);
    expect(await database.statements.flush(flush)).toEqual([]);
    await database.statements.flush([settled({ ...b, claim: young }, '{"n":3}')]);
    expect(await rowsOf(database)).toEqual([
      { batch: no, partial: { n: 1 } },
      { batch: no, partial: { n: 3 } },
    ]);
    expect(await database.statements.reduced(id)).toMatchObject({
      state: 'completed',
      folded: null,
      partials: ['{"n":1}', '{"n":3}'],
    });
  });
});

describe('fold', () => {
  it('stands in no circle of locks with flushes of the same batch', async () => {
    const database = await databaseForTest();
    const { statements, db } = database;
    const { no } = await acceptBatch(database, { total: 600, size: 1 });
    const held = await claimSome(database);
    let flushing = true;
    const flushOn = async (): Promise<void> => {
      for (let chunk = held.pop(); chunk !== undefined; chunk = held.pop()) await statements.flush([settled(chunk)]);
    };
    const foldOn = async (): Promise<void> => {
      for (let version = 0; flushing; version += 1) await statements.fold({ batch: no, version, nos: [], folded: '1' });
    };
    const flushed = Promise.all([flushOn(), flushOn(), flushOn(), flushOn()]).then(() => (flushing = false));
    await Promise.all([flushed, foldOn(), foldOn()]);
    await db.execute(sql`select pg_stat_force_next_flush()`);
    const [row] = await db.execute<{ deadlocks: string }>(
      sql`select deadlocks from pg_stat_database where datname = current_database()`,
    );
    expect(Number(row!.deadlocks)).toBe(0);
  });

  async function withPartials(database: TestDatabase, n: number): Promise<{ no: number; id: string }> {
    const batch = await acceptBatch(database, { total: n, size: 1 });
    const claimed = await claimSome(database);
    await database.statements.flush(claimed.map((chunk, i) => settled(chunk, `{"i":${i}}`)));
    return batch;
  }

  it('puts the sum in the place of its parts, and repeated changes nothing', async () => {
    const database = await databaseForTest();
    const { no, id } = await withPartials(database, 3);
    const first = (await database.statements.unfolded({ handlers, batch: null }))!;
    expect(first).toMatchObject({
      batch: no,
      handler: 'echo',
      version: 0,
      folded: null,
      partials: ['{"i":0}', '{"i":1}', '{"i":2}'],
    });
    const fold = { ...first, nos: first.nos.slice(0, 2), folded: '{"sum": 1}' };
    expect(await database.statements.fold(fold)).toBe(true);
    expect(await database.statements.fold(fold)).toBe(false);
    expect(await database.statements.reduced(id)).toMatchObject({ folded: '{"sum": 1}', partials: ['{"i":2}'] });
    const second = (await database.statements.unfolded({ handlers, batch: no }))!;
    expect(second).toMatchObject({ version: 1, folded: '{"sum": 1}', partials: ['{"i":2}'] });
    expect(await database.statements.fold({ ...second, folded: '{"sum":3}' })).toBe(true);
    expect(await database.statements.unfolded({ handlers, batch: null })).toBeNull();
  });

  it('of several at once is done by one of them', async () => {
    const database = await databaseForTest();
    const { id } = await withPartials(database, 20);
    const unfolded = (await database.statements.unfolded({ handlers, batch: null }))!;
    for (let version = 0; version < 3; version += 1) {
      const nos = unfolded.nos.slice(version * 5, version * 5 + 5);
      const tries = await Promise.all(
        [1, 2, 3, 4].map(() => database.statements.fold({ ...unfolded, version, nos, folded: `{"v":${version}}` })),
      );
      expect(tries.filter(Boolean)).toHaveLength(1);
    }
    expect(await database.statements.reduced(id)).toMatchObject({ folded: '{"v":2}' });
    expect(await rowsOf(database)).toHaveLength(5);
  });

  it('by who read an old version deletes nothing, also where no batch is left', async () => {
    const database = await databaseForTest();
    const { no } = await withPartials(database, 4);
    const { nos } = (await database.statements.unfolded({ handlers, batch: no }))!;
    expect(await database.statements.fold({ batch: no, version: 0, nos: nos.slice(0, 1), folded: '1' })).toBe(true);
    expect(await database.statements.fold({ batch: no, version: 0, nos, folded: '2' })).toBe(false);
    expect(await database.statements.fold({ batch: no, version: 7, nos, folded: '2' })).toBe(false);
    expect(await database.statements.fold({ batch: 999, version: 0, nos, folded: '2' })).toBe(false);
    expect(await rowsOf(database)).toHaveLength(3);
  });

  it('reads a bounded part, the batch that waited longest first, and only of handlers that are known', async () => {
    const database = await databaseForTest();
    const { id, no } = await withPartials(database, 520);
    const young = await withPartials(database, 2);
    const some = (await database.statements.unfolded({ handlers, batch: null }))!;
    expect([some.batch, some.nos.length]).toEqual([no, 500]);
    expect(await database.statements.reduced(id)).toMatchObject({ partials: null });
    await database.statements.fold({ ...some, folded: '0' });
    expect((await database.statements.reduced(id))!.partials).toHaveLength(20);
    expect(await database.statements.unfolded({ handlers, batch: young.no })).toMatchObject({ batch: young.no });
    expect(await database.statements.unfolded({ handlers: ['other'], batch: null })).toBeNull();
    await database.db.execute(
      sql`update partials set partial = to_json(repeat('x', 3000000)) where no in (select no from partials where batch = ${no} order by no limit 3)`,
    );
    expect((await database.statements.unfolded({ handlers, batch: no }))!.nos).toHaveLength(2);
    expect(await database.statements.reduced(id)).toMatchObject({ partials: null });
  });
});
