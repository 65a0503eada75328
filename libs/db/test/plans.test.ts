import { randomUUID } from 'node:crypto';
import { createStatements, openDatabase } from '@bullpen/db';
import { databaseForTest, idleFacts, texts } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, it } from 'vitest';
import { acceptBatch, join, markSome, whole } from './work.ts';

describe('a page of results', () => {
  it('reads no more than the page, before anything is known of the table', async () => {
    const database = await databaseForTest();
    await database.db.execute(sql`alter table results_1000 set (autovacuum_enabled = false)`);
    await database.db.execute(sql`insert into results (batch, index, finished_at, status, attempt, output)
      select 1, i, now(), 1, 1, '{"score": 1234}'::json from generate_series(0, 199999) i`);
    const rowsRead = async (): Promise<number> => {
      await database.db.execute(sql`select pg_stat_clear_snapshot()`);
      const [row] = await database.db.execute<{ rows: string }>(
        sql`select sum(seq_tup_read + idx_tup_fetch) as rows from pg_stat_user_tables where relname = 'results_1000'`,
      );
      return Number(row!.rows);
    };
    const reader = openDatabase({ url: database.url, max: 1, name: 'reader', durable: true });
    const statements = createStatements(reader.db, { reconnectMs: 1000 });
    const told = async (): Promise<number> => {
      await reader.db.execute(sql`select pg_stat_force_next_flush()`);
      await reader.db.execute(sql`select 1`);
      return rowsRead();
    };
    const before = await told();
    const rows = await statements.results({ batch: 1, after: 100_000, limit: 1000, status: 'all', maxBytes: 1e6 });
    expect(rows).toHaveLength(1000);
    expect((await told()) - before).toBeLessThan(3000);
    await reader.close();
  });
});

describe('plans that are kept', () => {
  it('read only what they need, though they were made on small tables', async () => {
    const database = await databaseForTest();
    const { id: first } = await acceptBatch(database, { total: 40, size: 10 });
    const kept = openDatabase({ url: database.url, max: 1, name: 'kept', durable: false, keepsPlans: true });
    const statements = createStatements(kept.db, { reconnectMs: 1000 });
    const worker = randomUUID();
    await join({ statements }, worker);
    const work = async (): Promise<void> => {
      const claim = randomUUID();
      const marked = await markSome(database, 4);
      const batches = [...new Set(marked.map((chunk) => chunk.batch.no))];
      const held = await statements.claim({
        nos: marked.map(({ no }) => no),
        batches,
        claim,
        worker,
        handlers: ['echo'],
      });
      await statements.heartbeat({ worker, claims: [claim], batches, facts: idleFacts, orphanMs: 1000 });
      await statements.flush(held.map((chunk) => whole({ ...chunk, claim })));
      await statements.lost(marked);
      await look(batches[0]!);
    };
    /** What a producer asks for, whether there is work or not. */
    const look = async (batch: number): Promise<void> => {
      await Promise.all([
        statements.due(),
        statements.windows({ leaseMs: 5000 }),
        statements.repair({ leaseMs: 5000 }),
      ]);
      await Promise.all([
        statements.queued({ ageMs: 0 }),
        statements.forget(),
        statements.expire(1),
        statements.leftovers(),
        statements.takeTellings({ most: 64, busy: [{ owner: '', host: 'example.org:443' }], full: [], leaseMs: 1000 }),
      ]);
      await statements.settled([{ batch: first, index: 5, closely: false }]);
      await statements.counts(first);
      await statements.lineTag(batch);
      await statements.outcome({ batch, index: 5 });
      await statements.results({ batch, after: 5, limit: 10, status: 'all', maxBytes: 1e6 });
      const jobs = await statements.rollJobs({ owner: '', handler: 'echo', id: randomUUID(), options: '{}' });
      await statements.appendJobs({ owner: '', batch: jobs, group: randomUUID(), jobs: [{ input: '1' }] });
    };
    const rowsRead = async (): Promise<number> => {
      await kept.db.execute(sql`select pg_stat_force_next_flush()`);
      await database.db.execute(sql`select pg_stat_force_next_flush()`);
      const [row] = await database.db.execute<{ rows: string }>(
        sql`select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) as rows from pg_stat_user_tables where relname in ('chunks', 'inputs', 'results_1000')`,
      );
      return Number(row!.rows);
    };
    for (let times = 0; times < 8; times += 1) {
      await acceptBatch(database, { total: 40, size: 10 });
      // Of one page nothing is sooner read than all of it.
      if (times === 0) await database.db.execute(sql`analyze`);
      await work();
    }
    await acceptBatch(database, { total: 100_000, size: 1 });
    await database.db.execute(sql`select pg_stat_force_next_flush()`);
    const before = await rowsRead();
    await work();
    expect((await rowsRead()) - before).toBeLessThan(1000);
    await kept.close();
  });

  it('of batches in lines do so too', async () => {
    const database = await databaseForTest();
    const kept = openDatabase({ url: database.url, max: 1, name: 'kept', durable: false, keepsPlans: true });
    const statements = createStatements(kept.db, { reconnectMs: 1000 });
    const chunk = { line: 3, first: 1, indexes: [1, 3], size: 2, items: '[1,2]', skipped: [] };
    const inputs = { handler: 'echo', name: null, params: null, options: '{}', keyed: true, open: true };
    const work = async (): Promise<void> => {
      const id = randomUUID();
      const no = await statements.openUpload({ owner: '', id, key: null, leaseMs: 5000 });
      await statements.put({ no, chunks: [chunk] });
      expect(await statements.goLive({ ...inputs, id, no, total: 2, chunks: 1, skipped: 0 })).toBe(true);
      await statements.append({ batch: id, id: randomUUID(), chunks: [chunk], unfinishedMax: 100 });
      await statements.inputs({ batch: no, index: 3 });
      expect(await statements.outcome({ batch: no, index: 3 })).toMatchObject({ open: true });
      await statements.settled([{ batch: id, index: 3, closely: true }]);
      await database.db.execute(sql`
        with failed as (insert into results (batch, index, finished_at, status, attempt, src) values (${no}, 1, now(), 2, 1, 1))
        update batches set failed = 1 where no = ${no}`);
      expect(await statements.retry(no)).toBe(1);
    };
    const rowsRead = async (): Promise<number> => {
      await kept.db.execute(sql`select pg_stat_force_next_flush()`);
      const [row] = await database.db.execute<{ rows: string }>(
        sql`select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) as rows from pg_stat_user_tables where relname in ('chunks', 'inputs_1000')`,
      );
      return Number(row!.rows);
    };
    for (let times = 0; times < 8; times += 1) {
      await work();
      if (times === 0) await database.db.execute(sql`analyze`);
    }
    const { no: other } = await acceptBatch(database, { total: 20_000, size: 1 });
    await database.db.execute(sql`insert into chunks (batch, first, size, src, line, place, state)
      select ${other}::int, i, 1, i, i % 12, i, case when i < 20000 then 'pending' else 'done' end from generate_series(0, 39999) i`);
    await database.db.execute(sql`select pg_stat_force_next_flush()`);
    const before = await rowsRead();
    await work();
    expect((await rowsRead()) - before).toBeLessThan(100);
    await kept.close();
  });

  it('of a flush read its own chunks, whatever else runs', async () => {
    const database = await databaseForTest();
    const kept = openDatabase({ url: database.url, max: 1, name: 'kept', durable: false, keepsPlans: true });
    const statements = createStatements(kept.db, { reconnectMs: 1000 });
    const worker = randomUUID();
    await join({ statements }, worker);
    const { mine } = await statements.own({ worker, leaseMs: 60_000, releasing: [] });
    const owned = { line: 3, lease: mine.find(({ no }) => no === 3)!.lease };
    const chunks = [0, 2, 4].map((first) => ({ line: 3, first, indexes: [first, first + 1], size: 2, items: '[1,2]' }));
    const work = async (): Promise<void> => {
      const given = { handler: 'echo', name: null, params: null, options: '{}', keyed: true, total: 6 };
      const batch = await statements.acceptInputs({ ...given, id: randomUUID() }, chunks);
      const claim = randomUUID();
      const rows = await statements.claimLine({
        ...owned,
        batch,
        after: -1,
        rows: 8,
        claim,
        worker,
        handlers: ['echo'],
      });
      expect(rows).toHaveLength(3);
      const settled = rows.map(({ no, first, round }) => ({
        no, first, round, claim, succeeded: 2, outputs: texts([1, 2]), indexes: [first, first + 1], attempts: null, failures: [], left: null, tries: [],
      })); // prettier-ignore
      const [one, ...others] = settled;
      const part = { ...one!, succeeded: 1, outputs: texts([1]), indexes: [one!.first], left: [one!.first + 1] };
      const rest = { ...one!, round: 1, succeeded: 1, outputs: texts([2]), indexes: part.left };
      for (const flushed of [[part], [rest, ...others]])
        expect(await statements.flushLine({ ...owned, rows: flushed, last: flushed[0]!, keep: true })).toBe(true);
      await acceptBatch(database);
      const [marked] = await markSome(database, 1);
      const held = await statements.claim({ nos: [marked!.no], claim, worker, handlers: ['echo'] });
      expect(await statements.flush(held.map((chunk) => whole({ ...chunk, claim })))).toHaveLength(1);
    };
    const rowsRead = async (): Promise<number> => {
      await kept.db.execute(sql`select pg_stat_force_next_flush()`);
      const [row] = await database.db.execute<{ rows: string }>(
        sql`select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) as rows from pg_stat_user_tables where relname in ('chunks', 'inputs_1000', 'results_1000')`,
      );
      return Number(row!.rows);
    };
    for (let times = 0; times < 8; times += 1) {
      await work();
      if (times === 0) await database.db.execute(sql`analyze`);
    }
    await database.db.execute(sql`insert into chunks (batch, first, size, src, line, place, state, claim, worker)
      select 0, i, 1, i, 3, i, 'running', gen_random_uuid(), ${worker} from generate_series(0, 19999) i`);
    await database.db.execute(sql`select pg_stat_force_next_flush()`);
    const before = await rowsRead();
    await work();
    expect((await rowsRead()) - before).toBeLessThan(100);
    await kept.close();
  });

  it('trim what is old of a long stream, and leave the rest unread', async () => {
    const database = await databaseForTest();
    const kept = openDatabase({ url: database.url, max: 1, name: 'kept', durable: true, keepsPlans: true });
    const { statements } = { statements: createStatements(kept.db, { reconnectMs: 1000 }) };
    const rowsRead = async (): Promise<number> => {
      await kept.db.execute(sql`select pg_stat_force_next_flush()`);
      const [row] = await kept.db.execute<{ rows: string }>(
        sql`select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) as rows from pg_stat_user_tables where relname in ('chunks', 'inputs_1000', 'results_1000')`,
      );
      return Number(row!.rows);
    };
    for (const keyed of [false, true]) {
      const batch = {
        id: randomUUID(),
        name: null,
        handler: 'echo',
        total: 0,
        params: null,
        options: '{}',
        open: true,
      };
      const no = await statements.acceptInputs({ ...batch, keyed }, []);
      await statements.trim({ batch: no, from: 0, days: 1 });
      // A hundred rows of ten items are old, 5 000 young, 10 000 open.
      await database.db.execute(sql`
        with i as (insert into inputs (batch, first, indexes, items) select ${no}::int, n * 10,
            case when ${keyed} then array(select generate_series(n * 10, n * 10 + 9)) end, '[]' from generate_series(0, 15099) n),
          r as (insert into results (batch, index, finished_at, status, attempt)
            select ${no}, n, now() - case when n < 1000 then interval '2 days' else interval '0' end, 1, 1 from generate_series(0, 50999) n),
          c as (insert into chunks (batch, first, size, src, state, claimed_at, line, place)
            select ${no}, n * 10, 10, n * 10, case when n < 5100 then 'done' else 'pending' end,
              now() - case when n < 100 then interval '2 days' else interval '0' end, case when ${keyed} then n % 12 end, case when ${keyed} then n * 10 end from generate_series(0, 15099) n)
        update batches set total = 151000, succeeded = 51000 where no = ${no}`);
      let before = await rowsRead();
      expect(await statements.trim({ batch: no, from: 0, days: 1 })).toEqual({ rows: 1200, from: 1000 });
      expect((await rowsRead()) - before).toBeLessThan(1200 * 5);
      before = await rowsRead();
      expect(await statements.trim({ batch: no, from: 1000, days: 1 })).toEqual({ rows: 0, from: 1000 });
      expect((await rowsRead()) - before).toBeLessThan(800);
    }
    await kept.close();
  });

  it('fold a few of many partials, though they were made when there were none', async () => {
    const database = await databaseForTest();
    const { no } = await acceptBatch(database, { total: 40, size: 10 });
    const kept = openDatabase({ url: database.url, max: 1, name: 'kept', durable: true, keepsPlans: true });
    const statements = createStatements(kept.db, { reconnectMs: 1000 });
    const rowsRead = async (): Promise<number> => {
      await kept.db.execute(sql`select pg_stat_force_next_flush()`);
      const [row] = await database.db.execute<{ rows: string }>(
        sql`select seq_tup_read + idx_tup_fetch as rows from pg_stat_user_tables where relname = 'partials'`,
      );
      return Number(row!.rows);
    };
    for (let times = 0; times < 8; times += 1) await statements.unfolded({ handlers: ['echo'], batch: no });
    await database.db.execute(sql`insert into partials (batch, partial)
      select case when i > 10 then ${no}::int else ${no}::int + 1 end, '{"n":1}' from generate_series(1, 20000) i`);
    for (const batch of [no, null]) {
      const before = await rowsRead();
      await statements.unfolded({ handlers: ['echo'], batch });
      expect((await rowsRead()) - before).toBeLessThan(2000);
    }
    await kept.close();
  });
});
