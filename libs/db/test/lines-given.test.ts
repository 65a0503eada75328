import { randomUUID } from 'node:crypto';
import { databaseForTest, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { wholeNumbers } from '../src/bind.ts';
import { cleanAll } from './clean.ts';

/** Items 0 to 6 in two lines: 0 has the even ones in two chunks, 3 the others. */
const given = [
  { line: 0, first: 0, indexes: [0, 2], size: 2, items: '["0","2"]' },
  { line: 3, first: 1, indexes: [1, 3, 5], size: 3, items: '["1","3","5"]' },
  { line: 0, first: 4, indexes: [4, 6], size: 2, items: '["4","6"]' },
];
const batchOf = (id: string) => ({
  id, name: null, handler: 'echo', total: 7, params: null, options: '{}', keyed: true, open: true,
}); // prettier-ignore

async function accept({ statements }: TestDatabase): Promise<{ id: string; no: number }> {
  const id = randomUUID();
  return { id, no: await statements.acceptInputs(batchOf(id), given) };
}

/** The chunks of a batch that are not done: line, place, src, indexes. */
async function open({ db }: TestDatabase, no: number): Promise<unknown[]> {
  const rows = await db.execute<{ row: string }>(sql`
    select json_build_array(line, place, src, coalesce(picks, (select indexes from inputs i where i.batch = c.batch and i.first = c.src)))::text as row
    from chunks c where batch = ${no} and state <> 'done' order by place`);
  return rows.map(({ row }) => JSON.parse(row) as unknown);
}

/** All that is open has failed. */
async function failAll({ db }: TestDatabase, no: number): Promise<void> {
  await db.execute(sql`
    with items as (select src, unnest(coalesce(picks, (select indexes from inputs i where i.batch = c.batch and i.first = c.src))) as index
      from chunks c where batch = ${no} and state <> 'done'),
    failed as (insert into results (batch, index, finished_at, status, attempt, src) select ${no}::int, index, now(), 2, 1, src from items),
    done as (update chunks set state = 'done' where batch = ${no} and state <> 'done')
    update batches set failed = failed + (select count(*) from items) where no = ${no}`);
}

test('whole numbers are written as an array literal', () => {
  const numbers = fc.array(fc.oneof(fc.maxSafeNat(), fc.nat({ max: 1000 })));
  fc.assert(
    fc.property(numbers, (values) => {
      expect(wholeNumbers(values)).toBe(`{${values.join(',')}}`);
    }),
  );
  expect(wholeNumbers([0, 9, 10, 2 ** 53 - 1])).toBe('{0,9,10,9007199254740991}');
});

describe('a keyed batch', () => {
  it('knows the row of inputs of each item', async () => {
    const database = await databaseForTest();
    const { no, id } = await accept(database);
    const append = { batch: id, id: randomUUID(), unfinishedMax: 100, chunks: given };
    expect(await database.statements.append(append)).toEqual({ first: 7, known: false });
    for (let index = 0; index < 14; index += 1) {
      const row = await database.statements.inputs({ batch: no, index });
      const at = row!.indexes!.indexOf(index);
      expect((JSON.parse(row!.items) as unknown[])[at]).toBe(String(index % 7));
    }
  });

  it('says of each item whether it is open, whatever state its chunk is in', async () => {
    const database = await databaseForTest();
    const { statements, db } = database;
    const { no, id } = await accept(database);
    const opens = async (): Promise<number[]> => {
      const found: number[] = [];
      for (let index = 0; index < 7; index += 1) {
        const { open } = await statements.outcome({ batch: no, index });
        const settled = await statements.settled([{ batch: id, index, closely: true }]);
        expect(settled.length).toBe(open ? 0 : 1);
        if (open) found.push(index);
      }
      return found;
    };
    for (const change of [
      `state = 'pending'`,
      `state = 'pending', not_before = now()`,
      `state = 'queued', not_before = null`,
      `state = 'running'`,
    ]) {
      await db.execute(sql`update chunks set ${sql.raw(change)} where batch = ${no}`);
      expect(await opens(), change).toEqual([0, 1, 2, 3, 4, 5, 6]);
    }
    await db.execute(sql`update chunks set picks = '{3,5}', size = 2 where batch = ${no} and line = 3`);
    expect(await opens()).toEqual([0, 2, 3, 4, 5, 6]);
    await db.execute(sql`update chunks set state = 'done' where batch = ${no} and first = 0`);
    expect(await opens()).toEqual([3, 4, 5, 6]);
  });

  it('puts what is tried again behind all that is in its line, and before what is appended then', async () => {
    const database = await databaseForTest();
    const { statements, db } = database;
    const { no, id } = await accept(database);
    await failAll(database, no);
    expect(await statements.retry(no)).toBe(7);
    expect(await statements.retry(no)).toBe(0);
    const again = [[0, 7, 0, [0, 2]], [3, 8, 1, [1, 3, 5]], [0, 11, 4, [4, 6]]]; // prettier-ignore
    expect(await open(database, no)).toEqual(again);
    await statements.append({ batch: id, id: randomUUID(), unfinishedMax: 100, chunks: given.slice(1, 2) });
    const appended = [3, 15, 8, [8, 10, 12]];
    expect(await open(database, no)).toEqual([...again, appended]);
    // Of an item that is tried while others of its row wait.
    await db.execute(sql`
      with failed as (insert into results (batch, index, finished_at, status, attempt, src) values (${no}, 3, now(), 2, 1, 1)),
      left_over as (update chunks set picks = '{1,5}', size = 2 where batch = ${no} and src = 1 and state <> 'done')
      update batches set failed = failed + 1 where no = ${no}`);
    expect(await statements.retry(no)).toBe(1);
    expect(await open(database, no)).toEqual([again[0], [3, 8, 1, [1, 5]], again[2], appended, [3, 20, 1, [3]]]);
  });

  it('that was not uploaded whole is cleaned up', async () => {
    const database = await databaseForTest();
    const { statements, db } = database;
    const id = randomUUID();
    const no = await statements.openUpload({ owner: '', id, key: null, leaseMs: 5000 });
    await statements.put({ no, chunks: given.map((chunk) => ({ ...chunk, skipped: [] })) });
    expect(await statements.goLive({ ...batchOf(id), no, chunks: 2, skipped: 0 })).toBe(false);
    await statements.abortUpload(id);
    await cleanAll(database);
    const [left] = await db.execute(
      sql`select (select count(*) from chunks)::int as chunks, (select count(*) from inputs)::int as inputs`,
    );
    expect(left).toEqual({ chunks: 0, inputs: 0 });
  });
});
