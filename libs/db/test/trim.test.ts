import { randomUUID } from 'node:crypto';
import { createStatements, openDatabase } from '@bullpen/db';
import { checkLedger, createDice, databaseForTest, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { cleanAll } from './clean.ts';
import { type Accepted, claimSome, finish, only, runAll } from './work.ts';

let database: TestDatabase;
beforeEach(async () => void (database = await databaseForTest()));

/** A batch that is open and has no items. */
async function stream(keyed = false): Promise<Accepted> {
  const id = randomUUID();
  const batch = { id, name: null, handler: 'echo', total: 0, params: null, options: '{}', open: true, keyed };
  return { id, no: await database.statements.acceptInputs(batch, []) };
}

/** Appends so many rows of so many items; those of a keyed batch lie across one another, in two lines. */
async function append({ id }: Accepted, rows: number, size = 10, keyed = false): Promise<void> {
  const items = JSON.stringify(Array(size).fill(1));
  const chunks = Array.from({ length: rows }, (_, k) => {
    if (!keyed) return { first: k * size, size, items };
    const first = 2 * size * Math.floor(k / 2) + (k % 2);
    return { first, size, items, line: k % 2, indexes: Array.from({ length: size }, (_, i) => first + 2 * i) };
  });
  await database.statements.append({ batch: id, id: randomUUID(), unfinishedMax: 1e9, chunks });
}

/** Everything of the batch that is final became so a month ago, but for what comes from this index on. */
async function age({ no }: Accepted, upto = 1e15): Promise<void> {
  const month = sql`interval '30 days'`;
  await database.db.execute(sql`
    with r as (update results set finished_at = finished_at - ${month} where batch = ${no} and index < ${upto} and finished_at > now() - ${month}),
      c as (update chunks set claimed_at = claimed_at - ${month} where batch = ${no} and src < ${upto} and state = 'done' and claimed_at > now() - ${month})
    update batches set created_at = created_at - ${month} where no = ${no}`);
}

/** Trims until nothing goes; answers how many rows went. */
async function trimAll({ no }: Accepted, days = 30): Promise<number> {
  let rows = 0;
  for (let from = 0, last = 1; last > 0; rows += last)
    ({ rows: last, from } = await database.statements.trim({ batch: no, from, days }));
  return rows;
}

interface Left {
  results: number[];
  inputs: number[];
  done: number;
  sum: number;
}
const left = ({ no }: Accepted): Promise<Left> =>
  only(
    database,
    sql`select (select coalesce(json_agg(index order by index), '[]') from results where batch = ${no}) as results,
      (select coalesce(json_agg(first order by first), '[]') from inputs where batch = ${no}) as inputs,
      (select count(*)::int from chunks where batch = ${no} and state = 'done') as done,
      (select coalesce(sum(size), 0)::int from chunks where batch = ${no} and state = 'done') as sum`,
  );
const upFrom = (first: number, to: number): number[] => Array.from({ length: to - first }, (_, i) => first + i);
const ledger = async (): Promise<void> => expect(await checkLedger(database)).toEqual([]);

/** Of a keyed batch: all open rows are done, and their items have failed where `fails` says so. */
async function runLines({ no }: Accepted, fails: (index: number) => boolean = () => false): Promise<void> {
  const rows = (await database.db.execute(sql`
    select c.no::int as no, c.src::int as src, to_json(coalesce(c.picks, i.indexes)) as items
    from chunks c join inputs i on i.batch = c.batch and i.first = c.src where c.batch = ${no} and c.state <> 'done'`)) as unknown as {
    no: number;
    src: number;
    items: number[];
  }[];
  for (const row of rows) {
    const failed = row.items.filter(fails);
    await database.db.execute(sql`
      with r as (insert into results (batch, index, finished_at, status, attempt, src)
        select ${no}, i, now(), case when i = any(${`{${failed.join()}}`}::bigint[]) then 2 else 1 end, 1, ${row.src} from unnest(${`{${row.items.join()}}`}::bigint[]) i),
      c as (update chunks set state = 'done', claimed_at = now(), picks = null where no = ${row.no})
      update batches set succeeded = succeeded + ${row.items.length - failed.length}, failed = failed + ${failed.length} where no = ${no}`);
  }
}

describe('an open batch', () => {
  it('is a stream when it is as old as the retention, runs or is paused, and takes items', async () => {
    const all = [await stream(), await stream(), await stream(), await stream()];
    const [paused, cancelled, young, running] = all as [Accepted, Accepted, Accepted, Accepted];
    for (const each of [paused, cancelled, running]) await age(each);
    await database.statements.pause(paused.no);
    await database.statements.cancel(cancelled.no);
    await database.statements.rollJobs({ owner: '', handler: 'echo', id: randomUUID(), options: '{}' });
    const streams = (days: number, after = 0): Promise<number[]> => database.statements.streams({ days, after });
    expect(await streams(30)).toEqual([paused.no, running.no]);
    expect([await streams(31), await streams(30, paused.no), await streams(0)]).toEqual([
      [], [running.no], [paused.no, young.no, running.no],
    ]); // prettier-ignore
    await database.statements.close(running.id);
    expect(await streams(30)).toEqual([paused.no]);
  });

  it('loses what became final so long ago: results, inputs and chunks together, and no count', async () => {
    const { statements } = database;
    const batch = await stream();
    await append(batch, 6);
    await runAll(database);
    await append(batch, 2);
    await age(batch, 40);
    expect(await trimAll(batch, 31)).toBe(0);
    expect(await trimAll(batch, 30)).toBe(40 + 4 + 4);
    expect(await left(batch)).toEqual({ results: upFrom(40, 60), inputs: [40, 50, 60, 70], done: 3, sum: 60 });
    expect(await trimAll(batch)).toBe(0);
    await ledger();
    expect(await statements.counts(batch.id)).toMatchObject({ total: 80, succeeded: 60, failed: 0 });
    const fates = await Promise.all([0, 39, 40, 65].map((index) => statements.outcome({ batch: batch.no, index })));
    expect(fates.map(({ row, open, gone }) => [row?.index ?? null, open, gone])).toEqual([
      [null, false, true], [null, false, true], [40, false, false], [null, true, false],
    ]); // prettier-ignore
    await runAll(database);
    await age(batch);
    await trimAll(batch);
    expect(await left(batch)).toEqual({ results: [], inputs: [], done: 1, sum: 80 });
    await append(batch, 1);
    await runAll(database);
    await statements.close(batch.id);
    expect(await statements.counts(batch.id)).toMatchObject({ state: 'completed', total: 90, succeeded: 90 });
    expect((await left(batch)).results).toEqual(upFrom(80, 90));
    expect((await statements.outcome({ batch: batch.no, index: 79 })).gone).toBe(true);
    await ledger();
    await statements.remove(batch.id);
    await cleanAll(database);
    expect(await left(batch)).toEqual({ results: [], inputs: [], done: 0, sum: 0 });
  });

  it('keeps all that comes after an item that is open or young', async () => {
    const batch = await stream();
    await append(batch, 1);
    const [late] = await claimSome(database);
    await append(batch, 3);
    await runAll(database);
    await age(batch);
    expect(await trimAll(batch)).toBe(0);
    await finish(database, [late!]);
    expect(await trimAll(batch)).toBe(0);
    await age(batch);
    expect(await trimAll(batch)).toBeGreaterThan(0);
    expect(await left(batch)).toEqual({ results: [], inputs: [], done: 1, sum: 40 });
  });

  it('keeps the input of an item whatever its chunk waits for', async () => {
    for (const change of [
      `state = 'pending'`,
      `state = 'pending', not_before = now()`,
      `state = 'queued'`,
      `state = 'running'`,
    ]) {
      const batch = await stream();
      await append(batch, 2);
      await runAll(database);
      await age(batch);
      await database.db.execute(sql`update chunks set ${sql.raw(change)} where batch = ${batch.no} and first = 10`);
      await trimAll(batch);
      expect((await left(batch)).inputs, change).toEqual([10]);
      await database.db.execute(sql`update chunks set state = 'done' where batch = ${batch.no}`);
    }
  });

  it('loses what was only acknowledged when its chunk is old', async () => {
    const batch = await stream();
    await append(batch, 3);
    const held = await claimSome(database);
    await database.statements.flush(
      held.map(({ no, claim, first, size }) => ({ no, claim, first, succeeded: size, outputs: '', indexes: [], failures: [], rests: [] })),
    ); // prettier-ignore
    await age(batch, 20);
    expect(await trimAll(batch)).toBe(2 + 2);
    expect(await left(batch)).toMatchObject({ inputs: [20], sum: 30 });
    expect(await database.statements.outcome({ batch: batch.no, index: 25 })).toMatchObject({
      open: false,
      gone: false,
    });
    await ledger();
  });

  it('has a sum that never grows over what a row can hold', async () => {
    const batch = await stream();
    await database.db.execute(sql`
      with c as (insert into chunks (batch, first, size, src, state) values (${batch.no}, 0, 1000000000, -1, 'done'), (${batch.no}, 0, 999999999, -1, 'done'))
      update batches set total = 1999999999, succeeded = 1999999999 where no = ${batch.no}`);
    await append(batch, 2);
    await runAll(database);
    await age(batch);
    await trimAll(batch);
    expect(await only(database, sql`select json_agg(size order by size) as sizes from chunks`)).toEqual({
      sizes: [1_000_000_000, 1_000_000_019],
    });
    expect(await trimAll(batch)).toBe(0);
    await ledger();
  });

  it('loses some 5 000 items at once, and of a longer row all', async () => {
    const batch = await stream();
    await append(batch, 3, 4000);
    await append(batch, 1, 10_000);
    await runAll(database);
    await age(batch);
    const trimmed = [];
    for (let from = 0; trimmed.at(-1)?.rows !== 0; from = trimmed.at(-1)!.from)
      trimmed.push(await database.statements.trim({ batch: batch.no, from, days: 30 }));
    expect(trimmed.map(({ rows }) => rows)).toEqual([8004, 14_005, 0]);
    await ledger();
  });
});

describe('an open batch with groups', () => {
  it('loses rows that lie across one another in the order in which they begin', async () => {
    const batch = await stream(true);
    await append(batch, 4, 5, true);
    await runLines(batch, (index) => index % 4 === 0);
    await age(batch);
    await database.db.execute(sql`update results set finished_at = now() where batch = ${batch.no} and index = 9`);
    await trimAll(batch);
    // 0, 2 … 8 are gone, 1, 3 … 9 and what begins after them stay.
    expect(await left(batch)).toMatchObject({ results: [1, 3, 5, 7, ...upFrom(9, 20)], inputs: [1, 10, 11], sum: 20 });
    const gone = await Promise.all(
      upFrom(0, 20).map((index) => database.statements.outcome({ batch: batch.no, index })),
    );
    expect(gone.flatMap((each, index) => (each.gone ? [index] : []))).toEqual([0, 2, 4, 6, 8]);
    await ledger();
    expect(await database.statements.retry(batch.no)).toBe(2);
    await ledger();
    await age(batch);
    await trimAll(batch);
    expect((await left(batch)).inputs).toEqual([10, 11]);
    await runLines(batch);
    await age(batch);
    await trimAll(batch);
    expect(await left(batch)).toMatchObject({ results: [], inputs: [], done: 1, sum: 20 });
    await ledger();
  });

  it('keeps what was open before a retry raised the places of its lines', async () => {
    const batch = await stream(true);
    await append(batch, 2, 5, true);
    await runLines(batch, (index) => index === 1);
    await append(batch, 2, 5, true);
    expect(await database.statements.retry(batch.no)).toBe(1);
    await append(batch, 2, 5, true);
    await age(batch);
    await trimAll(batch);
    // Item 1 is tried again.
    expect((await left(batch)).inputs).toEqual([0, 1, 10, 11, 20, 21]);
    await database.db.execute(
      sql`update chunks set state = 'done', picks = null where batch = ${batch.no} and src in (1, 20, 21)`,
    );
    await trimAll(batch);
    expect((await left(batch)).inputs).toEqual([10, 11, 20, 21]);
  });
});

describe('beside a retry', () => {
  it('an item that is tried again has its input', async () => {
    const batch = await stream();
    await append(batch, 2);
    await runAll(database, { fail: true });
    await age(batch);
    const { db, close } = openDatabase({ url: database.url, max: 1, name: 'other', durable: true });
    onTestFinished(close);
    await db.execute(sql`begin`);
    expect(await createStatements(db, { reconnectMs: 0 }).retry(batch.no)).toBe(20);
    const trimming = database.statements.trim({ batch: batch.no, from: 0, days: 30 });
    await db.execute(sql`select pg_sleep(0.2)`);
    await db.execute(sql`commit`);
    expect(await trimming).toEqual({ rows: 0, from: 0 });
    expect(await left(batch)).toMatchObject({ inputs: [0, 10], results: [] });
    await ledger();
  });

  it('what has gone is not tried again', async () => {
    const batch = await stream();
    await append(batch, 2);
    await runAll(database, { fail: true });
    await age(batch, 10);
    await trimAll(batch);
    expect(await database.statements.retry(batch.no)).toBe(10);
    await runAll(database);
    expect(await database.statements.counts(batch.id)).toMatchObject({ total: 20, succeeded: 10, failed: 10 });
    await ledger();
  });

  it('of all that is appended, run, tried again and trimmed at the same time every sum holds, and each item that is open has its input', async () => {
    const dice = createDice(Date.now());
    const batches = [await stream(), await stream(true)];
    let over = false;
    const until = performance.now() + 4000;
    const again = async (act: () => Promise<unknown>): Promise<void> => {
      while (performance.now() < until) {
        await act();
        await dice.wait(10);
      }
    };
    const reading = (async () => {
      let reads = 0;
      for (; !over; reads += 1) {
        await ledger();
        const lost = sql`select count(*)::int as n from chunks c where state <> 'done' and not exists (select from inputs i where i.batch = c.batch and i.first = c.src)`;
        expect(await only(database, lost)).toEqual({ n: 0 });
      }
      return reads;
    })();
    let trimmed = 0;
    await Promise.all([
      again(() => append(batches[0]!, 1 + dice.below(4))),
      again(() => append(batches[1]!, 2, 1 + dice.below(9), true)),
      again(() => runAll(database, { fail: dice.chance(0.5) })),
      again(() => runLines(batches[1]!, () => dice.chance(0.3))),
      again(() => database.statements.retry(batches[dice.below(2)]!.no)),
      again(() => age(batches[dice.below(2)]!)),
      ...[0, 1].map((at) => again(async () => (trimmed += await trimAll(batches[at]!)))),
      again(() => trimAll(batches[dice.below(2)]!)),
    ]);
    over = true;
    expect(await reading).toBeGreaterThan(20);
    expect(trimmed).toBeGreaterThan(100);
  });
});
