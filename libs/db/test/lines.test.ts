import { randomUUID } from 'node:crypto';
import type { ClaimedRow, SettledRow } from '@bullpen/db';
import { checkLedger, databaseForTest, eventually, type TestDatabase, texts } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, it } from 'vitest';
import { join, only } from './work.ts';

const leaseMs = 5000;

/** A worker that owns all partitions, with the lease of partition 3. */
async function owner(database: TestDatabase) {
  const worker = randomUUID();
  await database.db.execute(sql`update workers set draining = true`);
  await join(database, worker);
  const { mine } = await database.statements.own({ worker, leaseMs, releasing: [] });
  return { worker, lease: mine.find(({ no }) => no === 3)!.lease };
}

/** A keyed batch with so many rows of 5 items in line 3. */
async function acceptLine(database: TestDatabase, rows: number): Promise<number> {
  const { no } = await only<{ no: number }>(
    database,
    sql`insert into batches (id, handler, state, total, options, keyed) values (gen_random_uuid(), 'echo', 'running', ${rows * 5}, '{}', true) returning no`,
  );
  await database.db.execute(sql`insert into inputs (batch, first, indexes, items)
    select ${no}, k * 5, array(select generate_series(k * 5, k * 5 + 4)), '["a", "b", "c", "d", "e"]' from generate_series(0, ${rows - 1}::int) k`);
  await database.db.execute(sql`insert into chunks (batch, first, size, src, line, place)
    select ${no}, k * 5, 5, k * 5, 3, k * 5 from generate_series(0, ${rows - 1}::int) k`);
  return no;
}

type Owner = Awaited<ReturnType<typeof owner>>;

const claimOf =
  ({ statements }: TestDatabase) =>
  (by: Owner, batch: number, given: { after?: number; rows?: number; claim?: string } = {}) =>
    statements.claimLine({
      batch,
      line: 3,
      after: given.after ?? -1,
      rows: given.rows ?? 100,
      claim: given.claim ?? randomUUID(),
      handlers: ['echo'],
      ...by,
    });

/** A row of which so many items succeeded. */
const done = (row: ClaimedRow, claim: string, items = row.size, more: Partial<SettledRow> = {}): SettledRow => {
  const indexes = (row.picks ?? row.indexes).slice(0, items);
  const left = (row.picks ?? row.indexes).slice(items);
  return {
    no: row.no,
    claim,
    round: row.round,
    first: row.first,
    succeeded: items,
    outputs: texts(indexes),
    indexes,
    attempts: null,
    failures: [],
    left: left.length === 0 ? null : left,
    tries: [],
    ...more,
  };
};

/** A row as it was claimed: what the first flush of a turn proves. */
const asClaimed = ({ no, round }: ClaimedRow, claim: string) => ({ no, claim, round });

describe('a line', () => {
  it('is claimed in order past the cursor, whatever the state of its rows, by the owner of the partition alone', async () => {
    const database = await databaseForTest();
    const [first, batch] = [await owner(database), await acceptLine(database, 4)];
    const claim = claimOf(database);
    expect((await claim(first, batch, { rows: 2 })).map(({ place }) => place)).toEqual([0, 5]);
    expect((await claim(first, batch, { after: 5, rows: 2 })).map(({ place }) => place)).toEqual([10, 15]);
    expect(await claim({ ...first, lease: randomUUID() }, batch)).toEqual([]);
    await database.db.execute(sql`update partitions set expires_at = now() - interval '1 second'`);
    const second = await owner(database);
    const rows = await claim(second, batch);
    expect(rows.map(({ place, crashes }) => [place, crashes])).toEqual([[0, 1], [5, 1], [10, 1], [15, 1]]); // prettier-ignore
    expect(rows[0]).toMatchObject({ indexes: [0, 1, 2, 3, 4], items: '["a", "b", "c", "d", "e"]', picks: null });
    expect(await claim(first, batch)).toEqual([]);
  });

  it('keeps what is left of a row in its place, with the attempts of its items, and counts all', async () => {
    const database = await databaseForTest();
    const [by, batch] = [await owner(database), await acceptLine(database, 2)];
    const [claimed, id] = [await claimOf(database)(by, batch, { claim: 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa' }), 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa']; // prettier-ignore
    const flush = (rows: SettledRow[], keep = true) =>
      database.statements.flushLine({ line: 3, ...by, rows, last: asClaimed(claimed[1]!, id), keep });
    const failure = { index: 1, attempt: 3, error: { code: 'bad', message: 'as asked' } };
    const partly = done(claimed[0]!, id, 1, { failures: [failure], left: [2, 3, 4], tries: [[2, 2, 60_000]] });
    expect(await flush([partly])).toBe(true);
    expect(await flush([partly])).toBe(true);
    expect(await checkLedger(database)).toEqual([]);
    expect(await only(database, sql`select succeeded::int, failed::int, pass from batches where no = ${batch}`)).toEqual({ succeeded: 1, failed: 1, pass: 2 }); // prettier-ignore
    const again = await claimOf(database)(by, batch);
    expect(again.map(({ place, size, picks }) => [place, size, picks])).toEqual([[0, 3, [2, 3, 4]], [5, 5, null]]); // prettier-ignore
    const [[index, attempt, waitMs]] = again[0]!.tries as [[number, number, number]];
    expect([index, attempt]).toEqual([2, 2]);
    expect(waitMs).toBeGreaterThan(30_000);
    expect(waitMs).toBeLessThanOrEqual(60_000);
  });

  it('is completed by the flush of its last row, and results say their attempts', async () => {
    const database = await databaseForTest();
    const [by, batch, claim] = [await owner(database), await acceptLine(database, 2), randomUUID()];
    const rows = await claimOf(database)(by, batch, { claim });
    const settled = [done(rows[0]!, claim), done(rows[1]!, claim, 5, { attempts: [1, 2, 1, 1, 3] })];
    const last = asClaimed(rows[0]!, claim);
    expect(await database.statements.flushLine({ line: 3, ...by, rows: settled, last, keep: true })).toBe(true);
    expect(await checkLedger(database)).toEqual([]);
    expect(await only(database, sql`select state, (select json_agg(attempt order by index) from results) as attempts from batches where no = ${batch}`)) // prettier-ignore
      .toEqual({ state: 'completed', attempts: [1, 1, 1, 1, 1, 1, 2, 1, 1, 3] });
  });

  it('is charged for what ended its process: one item, all that are left, or the row as a suspect', async () => {
    const database = await databaseForTest();
    const { statements } = database;
    const [by, batch, claim] = [await owner(database), await acceptLine(database, 2), randomUUID()];
    const [first, second] = await claimOf(database)(by, batch, { claim });
    const left = done(first!, claim, 2, { tries: [[3, 2, 0]] });
    await statements.flushLine({ line: 3, ...by, rows: [left], last: asClaimed(first!, claim), keep: true });
    const charge = (no: number, index: number | null, code: string, worker = by.worker): Promise<boolean> =>
      statements.charge({ worker, no, index, error: { code, message: 'as told' } });
    const tries = async (): Promise<unknown[]> => {
      const rows = await claimOf(database)(by, batch);
      return rows.map((row) =>
        row.tries
          .map(([index, attempt, , error]) => [index, attempt, error?.code])
          .sort(([a], [b]) => Number(a) - Number(b)),
      );
    };
    expect(await charge(first!.no, 4, 'one')).toBe(true);
    expect(await tries()).toEqual([[[3, 2, undefined], [4, 2, 'one']], []]); // prettier-ignore
    await charge(first!.no, null, 'all');
    await charge(second!.no, null, 'all');
    expect(await tries()).toEqual([
      [[2, 2, 'all'], [3, 3, 'all'], [4, 3, 'all']],
      [5, 6, 7, 8, 9].map((index) => [index, 2, 'all']),
    ]); // prettier-ignore
    for (let times = 0; times < 2; times += 1) await statements.suspect({ worker: by.worker, no: second!.no });
    expect((await claimOf(database)(by, batch)).map(({ crashes }) => crashes)).toEqual([0, 2]);
    expect(await charge(first!.no, 4, 'other', randomUUID())).toBe(false);
    expect(await statements.suspect({ worker: randomUUID(), no: first!.no })).toBe(false);
  });

  it('waits for its time when it is given back with nothing to do', async () => {
    const database = await databaseForTest();
    const [by, batch, claim] = [await owner(database), await acceptLine(database, 1), randomUUID()];
    const mark = () => database.statements.markLines({ handlers: ['echo'], slots: [3, 3], most: 9 });
    expect(await mark()).toMatchObject([{ partition: 3, size: 5, keyed: true }]);
    expect(await mark()).toEqual([]);
    const rows = await claimOf(database)(by, batch, { claim });
    await database.statements.flushLine({ line: 3, ...by, rows: [done(rows[0]!, claim, 0, { tries: [[0, 2, 60_000]] })], last: asClaimed(rows[0]!, claim), keep: false, waitMs: 60_000 }); // prettier-ignore
    expect(await mark()).toEqual([]);
    await database.db.execute(sql`update chunks set not_before = now() - interval '1 second'`);
    await database.statements.due();
    expect(await mark()).toHaveLength(1);
  });

  it('is not marked while its head is in a hand, and never without room in its partition', async () => {
    const database = await databaseForTest();
    const [by, batch] = [await owner(database), await acceptLine(database, 3)];
    const mark = (slots: number[]) => database.statements.markLines({ handlers: ['echo'], slots, most: 9 });
    expect(await mark([1, 2, 4])).toEqual([]);
    await claimOf(database)(by, batch, { rows: 1 });
    expect(await mark([3])).toEqual([]);
  });

  it('has the tag that a mark would give it, of what was served of its batch meanwhile', async () => {
    const database = await databaseForTest();
    const [, batch] = [await owner(database), await acceptLine(database, 2)];
    await database.db.execute(sql`update owners set virtual = 100`);
    await database.db.execute(sql`update installation set virtual = 70`);
    await database.db.execute(sql`update batches set pass = 130 where no = ${batch}`);
    expect(await database.statements.lineTag(batch)).toBe(100);
    const [marked] = await database.statements.markLines({ handlers: ['echo'], slots: [3], most: 1 });
    expect(marked!.tag).toBe(100);
    await database.db.execute(sql`update batches set pass = 20 where no = ${batch}`);
    expect(await database.statements.lineTag(batch)).toBe(70);
    expect(await database.statements.lineTag(999_999)).toBe(null);
  });

  it('is marked however many batches come before it whose lines are in hands, or have no room', async () => {
    const database = await databaseForTest();
    // Of each batch two rows, of which the first is what it is told.
    const fill = (lines: number, line: number, head: string) =>
      database.db.execute(sql`
        with b as (insert into batches (id, handler, state, total, options, keyed)
          select gen_random_uuid(), 'echo', 'running', 10, '{}', true from generate_series(1, ${lines}::int) returning no)
        insert into chunks (batch, first, size, src, line, place, state)
        select no, k * 5, 5, k * 5, ${line}, k * 5, case when k = 0 then ${head} else 'pending' end from b, generate_series(0, 1) k`);
    await fill(250, 3, 'running');
    await fill(250, 4, 'pending');
    const batch = await acceptLine(database, 2);
    expect(await database.statements.markLines({ handlers: ['echo'], slots: [3, 3], most: 9 })).toMatchObject([
      { partition: 3, size: 5, batch: { no: batch } },
    ]);
  });
});

describe('what the server answered and lost in a crash', () => {
  /** A line whose rows can be set back to where they stood: what the server comes back with. */
  async function line(rows: number) {
    const database = await databaseForTest();
    const [by, batch, claim] = [await owner(database), await acceptLine(database, rows), claimOf(database)];
    const stood = async (): Promise<object[]> =>
      (await only<{ chunks: object[] }>(database, sql`select json_agg(c) as chunks from chunks c`)).chunks;
    const setBack = async (to: object[]): Promise<void> => {
      await database.db.execute(sql`delete from results where batch = ${batch}`);
      await database.db
        .execute(sql`update chunks c set state = o.state, size = o.size, round = o.round, claim = o.claim, worker = o.worker
        from json_populate_recordset(null::chunks, ${JSON.stringify(to)}::json) o where c.no = o.no`);
    };
    const flush = (row: ClaimedRow, id: string, last: { no: number; claim: string; round: number }) =>
      database.statements.flushLine({ line: 3, ...by, rows: [done(row, id)], last, keep: true });
    const settled = async () => (await only<{ n: number }>(database, sql`select count(*)::int as n from results`)).n;
    const places = async () => (await claim(by, batch)).map(({ place }) => place);
    return { claim: (given: object) => claim(by, batch, given), flush, stood, setBack, settled, places };
  }

  it('a flush: it keeps back all that come after it, until the line is claimed anew', async () => {
    const [{ claim, flush, stood, setBack, settled, places }, id] = [await line(2), randomUUID()];
    const [first, second] = await claim({ claim: id });
    const before = await stood();
    expect(await flush(first!, id, asClaimed(first!, id))).toBe(true);
    await setBack(before);
    expect(await flush(second!, id, { no: first!.no, claim: id, round: first!.round + 1 })).toBe(false);
    expect(await settled()).toBe(0);
    expect(await places()).toEqual([0, 5]);
  });

  it('the last flush of a turn and the first claim of the next: what that claims later is settled by none of its flushes', async () => {
    const { claim, flush, stood, setBack, settled, places } = await line(3);
    const [id, next, later] = [randomUUID(), randomUUID(), randomUUID()];
    const before = await stood();
    const [first] = await claim({ claim: id, rows: 1 });
    expect(await flush(first!, id, asClaimed(first!, id))).toBe(true);
    const [second] = await claim({ claim: next, rows: 1 });
    await setBack(before);
    const [third] = await claim({ claim: later, after: second!.place });
    expect(third!.place).toBe(10);
    expect(await flush(third!, later, asClaimed(second!, next))).toBe(false);
    expect(await settled()).toBe(0);
    expect(await places()).toEqual([0, 5, 10]);
  });

  it('a claim between two flushes: its rows keep back what is settled with them, and no others', async () => {
    const { claim, flush, stood, setBack } = await line(3);
    const [id, lost, later] = [randomUUID(), randomUUID(), randomUUID()];
    const [first] = await claim({ claim: id, rows: 1 });
    expect(await flush(first!, id, asClaimed(first!, id))).toBe(true);
    const before = await stood();
    const [second] = await claim({ claim: lost, after: 0, rows: 1 });
    await setBack(before);
    const [third] = await claim({ claim: later, after: second!.place });
    const last = { no: first!.no, claim: id, round: first!.round + 1 };
    expect(await flush(second!, lost, last)).toBe(false);
    expect(await flush(third!, later, last)).toBe(true);
  });
});

describe('a former owner', () => {
  /** Holds both rows; another has taken the partition, and claimed the first. */
  async function taken() {
    const database = await databaseForTest();
    const [former, batch, claim] = [await owner(database), await acceptLine(database, 2), randomUUID()];
    const rows = await claimOf(database)(former, batch, { claim });
    await database.db.execute(sql`update partitions set expires_at = now() - interval '1 second'`);
    const next = await owner(database);
    await claimOf(database)(next, batch, { rows: 1 });
    const flush = (which: readonly ClaimedRow[]) =>
      database.statements.flushLine({
        line: 3,
        lease: former.lease,
        rows: which.map((row) => done(row, claim)),
        last: asClaimed(which[0]!, claim),
        keep: true,
      });
    return { database, rows, flush, former };
  }

  it('settles nothing of what the next one has claimed', async () => {
    const { rows, flush } = await taken();
    expect(await flush(rows)).toBe(false);
    expect(await flush([rows[0]!])).toBe(false);
  });

  it('settles nothing of what the next one has not claimed yet', async () => {
    const { rows, flush, database } = await taken();
    expect(await flush([rows[1]!])).toBe(false);
    expect(await only(database, sql`select count(*)::int as n from results`)).toEqual({ n: 0 });
  });

  it('settles nothing of a hand from before, though the partition is its own again', async () => {
    const { rows, flush, database, former } = await taken();
    await database.db.execute(sql`update workers set draining = id <> ${former.worker}`);
    await database.db.execute(sql`update partitions set owner = null, lease = null, expires_at = null`);
    await database.statements.own({ worker: former.worker, leaseMs, releasing: [] });
    expect(await flush([rows[1]!])).toBe(false);
  });

  it('is kept out while its flush waits for the one who takes the partition', async () => {
    const database = await databaseForTest();
    const [former, batch, claim] = [await owner(database), await acceptLine(database, 1), randomUUID()];
    const rows = await claimOf(database)(former, batch, { claim });
    // A taker that has not committed: the row is locked, and the lease about to change.
    const take = sql`with u as (update partitions set lease = gen_random_uuid() where no = 3 returning no) select pg_sleep(0.5) from u`;
    const taken = Promise.resolve(database.db.execute(take));
    await eventually('it holds the row', async () => {
      const held = sql`select count(*)::int as n from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()`;
      return (await only<{ n: number }>(database, held)).n > 0;
    });
    const settled = await database.statements.flushLine({
      line: 3,
      ...former,
      rows: [done(rows[0]!, claim)],
      last: asClaimed(rows[0]!, claim),
      keep: true,
    });
    await taken;
    expect(settled).toBe(false);
  });
});
