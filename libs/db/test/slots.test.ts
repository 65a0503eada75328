import {
  batchLimit,
  createStatements,
  handlerLimit,
  openDatabase,
  type SlotsAsked,
  type SlotsLeased,
} from '@bullpen/db';
import { databaseForTest, eventually, mostWithin, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acceptBatch } from './work.ts';

const limit = ({ db }: TestDatabase, name: string, rate: number, perMs = 1000): Promise<unknown> =>
  db.execute(sql`insert into limits (name, rate, per_ms) values (${name}, ${rate}, ${perMs})`);
const ask = (more: Partial<SlotsAsked>): SlotsAsked => ({
  batch: null,
  handler: null,
  cost: 1,
  starts: 1000,
  leadMs: 0,
  debtMs: 0,
  ...more,
});
const timesOf = ({ starts, firstAt, everyMs }: SlotsLeased): number[] =>
  Array.from({ length: starts }, (_, at) => firstAt + at * everyMs);

/** So many callers ask again and again for this long, of the database's time; when each of their starts stands. */
async function leaseFor(database: TestDatabase, ms: number, callers: readonly SlotsAsked[]): Promise<number[][]> {
  const [{ now: began }] = (await database.db.execute(
    sql`select extract(epoch from clock_timestamp())::float8 * 1000 as now`,
  )) as unknown as [{ now: number }];
  return Promise.all(
    callers.map(async (asked) => {
      const times: number[] = [];
      for (let now = began; now < began + ms;) {
        const answer = await database.statements.leaseSlots([asked]);
        now = answer.now;
        times.push(...timesOf(answer.leased[0]!));
      }
      return times;
    }),
  );
}

describe('slots', () => {
  it('are put off for whoever comes next by what earlier ones were used too late', async () => {
    const database = await databaseForTest();
    const [name, handler] = [batchLimit(1), handlerLimit('late')];
    for (const each of [name, handler]) await limit(database, each, 100);
    for (const of of [{ batch: name }, { handler }]) {
      const lease = async (debtMs: number): Promise<SlotsLeased> =>
        (await database.statements.leaseSlots([ask({ ...of, starts: 1, debtMs })])).leased[0]!;
      const [first, second] = [await lease(200), await lease(0)];
      expect(second.firstAt - first.firstAt).toBeGreaterThanOrEqual(200 + first.everyMs - 0.01);
    }
  });

  it('never stand closer than the limit allows, whoever asks at once and for how many', async () => {
    const database = await databaseForTest();
    const counts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 2, maxLength: 5 });
    let no = 0;
    const property = fc.asyncProperty(
      fc.integer({ min: 20, max: 900 }),
      fc.integer({ min: 1, max: 5 }),
      counts,
      async (rate, cost, starts) => {
        const name = batchLimit((no += 1));
        await limit(database, name, rate);
        const all = (
          await leaseFor(
            database,
            300,
            starts.map((each) => ask({ batch: name, cost, starts: each })),
          )
        ).flat();
        const sorted = all.sort((a, b) => a - b);
        const every = (cost * 1000) / rate;
        for (let at = 1; at < sorted.length; at += 1)
          expect(sorted[at]! - sorted[at - 1]!).toBeGreaterThan(every * 0.99);
        // They book ahead: what was asked for is there without a gap.
        if (sorted.length > 1)
          expect((sorted.at(-1)! - sorted[0]!) / (sorted.length - 1)).toBeLessThan(every * 1.1 + 3);
      },
    );
    await fc.assert(property, { numRuns: 8 });
  });

  it('of a batch and its handler keep both, also where others take the rest of the handler', async () => {
    const database = await databaseForTest();
    const handler = handlerLimit('h');
    await limit(database, handler, 1000);
    await limit(database, batchLimit(1), 200);
    const of = { starts: 20, handler };
    const both = ask({ ...of, batch: batchLimit(1) });
    const [one = [], two = [], ...others] = await leaseFor(database, 2500, [both, both, ask(of), ask(of)]);
    const batch = [...one, ...two];
    expect(mostWithin(batch, 1000)).toBeLessThanOrEqual(200);
    expect(mostWithin([...batch, ...others.flat()], 1000)).toBeLessThanOrEqual(1020);
    expect(others.flat().length).toBeGreaterThan(1500);
    expect(batch.length).toBeGreaterThan(100);
  });

  it('are not given away far ahead, so that what changes acts soon', async () => {
    const database = await databaseForTest();
    await limit(database, batchLimit(1), 1, 60_000);
    const lease = async (): Promise<SlotsLeased> =>
      (await database.statements.leaseSlots([ask({ batch: batchLimit(1) })])).leased[0]!;
    expect(await lease()).toMatchObject({ starts: 1 });
    const later = await lease();
    expect(later.starts).toBe(0);
    expect(later.waitMs).toBeGreaterThan(58_000);
    expect(later.waitMs).toBeLessThan(61_000);
  });

  it('of a pause come after it, and it is over when a limit is set', async () => {
    const database = await databaseForTest();
    const { no } = await acceptBatch(database);
    await database.statements.pauseLimits({ batch: no, ms: 30_000 });
    await database.statements.pauseLimits({ batch: no, ms: 10 });
    const [row] = await database.statements.limits([batchLimit(no), handlerLimit('echo')]);
    expect(row).toMatchObject({ name: batchLimit(no), rate: null });
    expect(row!.pausedMs).toBeGreaterThan(29_000);
    const lease = async (): Promise<SlotsLeased> =>
      (await database.statements.leaseSlots([ask({ batch: batchLimit(no) })])).leased[0]!;
    expect((await lease()).starts).toBe(0);
    await database.statements.change({ batch: no, options: { rateLimit: { limit: 10, perMs: 1000 } } });
    expect((await lease()).starts).toBe(1);
  });

  it('come after a pause also where other things are changed, or the limit is taken away', async () => {
    const database = await databaseForTest();
    const { statements } = database;
    const { no } = await acceptBatch(database);
    const handler = { handler: 'echo', rate: null, perMs: null, concurrency: null };
    const rate = { rate: 10, perMs: 1000 };
    const pausedMs = async (name: string): Promise<number> => (await statements.limits([name]))[0]?.pausedMs ?? 0;
    await statements.change({ batch: no, options: { rateLimit: { limit: 10, perMs: 1000 } } });
    await statements.pauseLimits({ batch: no, ms: 30_000 });
    await statements.change({
      batch: no,
      name: 'another',
      options: { weight: 2, rateLimit: { limit: 10, perMs: 1000 } },
    });
    expect(await pausedMs(batchLimit(no))).toBeGreaterThan(20_000);
    await statements.change({ batch: no, options: { rateLimit: null } });
    expect(await pausedMs(batchLimit(no))).toBeGreaterThan(20_000);
    await statements.limitHandler({ ...handler, ...rate });
    await statements.pauseLimits({ batch: no, ms: 30_000 });
    await statements.limitHandler({ ...handler, ...rate, concurrency: 5 });
    expect(await pausedMs(handlerLimit('echo'))).toBeGreaterThan(20_000);
    await statements.limitHandler(handler);
    expect(await pausedMs(handlerLimit('echo'))).toBeGreaterThan(20_000);
    expect(await statements.handlerLimits()).toEqual([]);
    // And once it is over nothing of it is left.
    await database.db.execute(sql`update limits set paused_until = now() - interval '1 second'`);
    await statements.limitHandler(handler);
    await statements.change({ batch: no, options: {} });
    expect(await database.db.execute(sql`select name from limits`)).toEqual([]);
  });

  it('stay as far away as they were when something else is changed', async () => {
    const database = await databaseForTest();
    const { no } = await acceptBatch(database);
    const rateLimit = { limit: 1, perMs: 3_600_000, cost: 1 };
    const lease = async (): Promise<SlotsLeased> =>
      (await database.statements.leaseSlots([ask({ batch: batchLimit(no), handler: handlerLimit('echo') })]))
        .leased[0]!;
    const handler = { handler: 'echo', rate: 1, perMs: 3_600_000 };
    await database.statements.change({ batch: no, options: { rateLimit } });
    await database.statements.limitHandler({ ...handler, concurrency: null });
    expect((await lease()).starts).toBe(1);
    await database.statements.change({ batch: no, options: { weight: 2, concurrency: 7, rateLimit } });
    await database.statements.limitHandler({ ...handler, concurrency: 7 });
    const rows = await database.db.execute(sql`
      select name, next_at > clock_timestamp() + interval '50 minutes' as far from limits order by name`);
    expect(rows).toEqual([batchLimit(no), handlerLimit('echo')].map((name) => ({ name, far: true })));
    // Another cost is another rate.
    await database.statements.change({ batch: no, options: { rateLimit: { ...rateLimit, cost: 2 } } });
    const [row] = await database.db.execute(sql`
      select next_at < clock_timestamp() + interval '1 second' as soon from limits where name = ${batchLimit(no)}`);
    expect(row).toEqual({ soon: true });
  });

  it('are as far away as they were when the clock is set back', async () => {
    const database = await databaseForTest();
    await limit(database, batchLimit(1), 1, 60_000);
    const lease = async (): Promise<SlotsLeased> =>
      (await database.statements.leaseSlots([ask({ batch: batchLimit(1) })])).leased[0]!;
    expect((await lease()).starts).toBe(1);
    // As it would stand there if the clock had been an hour ahead then.
    await database.db.execute(sql`
      update limits set next_at = next_at + interval '1 hour', leased_at = leased_at + interval '1 hour'`);
    const { starts, waitMs } = await lease();
    expect(starts).toBe(0);
    expect(waitMs).toBeGreaterThan(50_000);
    expect(waitMs).toBeLessThan(61_000);
  });

  it('that are far apart wait for the disk, so that no crash forgets them', async () => {
    const database = await databaseForTest();
    const quick = openDatabase({ url: database.url, max: 1, name: 'quick', durable: false, keepsPlans: true });
    const { leaseSlots } = createStatements(quick.db, { reconnectMs: 1000 });
    const position = async (what: 'insert' | 'flush'): Promise<number> => {
      const [row] = await database.db.execute(sql`select ${sql.raw(`pg_current_wal_${what}_lsn()`)} - '0/0' as at`);
      return Number(row!['at']);
    };
    // The log goes to the disk by itself every 200 ms, and with the commits of other tests: one time in twenty tells.
    for (let no = 1; no <= 20; no += 1) {
      await limit(database, batchLimit(no), 1);
      const before = await position('insert');
      expect((await leaseSlots([ask({ batch: batchLimit(no) })])).leased[0]!.starts).toBe(1);
      expect(await position('flush')).toBeGreaterThan(before);
    }
    await quick.close();
  });

  it('of a limit that is gone are there at once', async () => {
    const database = await databaseForTest();
    const { leased } = await database.statements.leaseSlots([ask({ batch: batchLimit(7), starts: 5 })]);
    expect(leased).toMatchObject([{ starts: 5, everyMs: 0, waitMs: 0 }]);
  });

  it('asked for several limits at once come for each', async () => {
    const database = await databaseForTest();
    for (const no of [1, 2, 3]) await limit(database, batchLimit(no), 100 * no);
    const { leased } = await database.statements.leaseSlots(
      [3, 1, 2].map((no) => ask({ batch: batchLimit(no), starts: no })),
    );
    expect(leased.map(({ starts, everyMs }) => [starts, Math.round(everyMs * 10)])).toEqual([
      [3, 34],
      [1, 102],
      [2, 51],
    ]);
  });
});

describe('a limit', () => {
  it('comes with its batch, is changed with it, and goes with it', async () => {
    const database = await databaseForTest();
    const { statements } = database;
    const options = { rateLimit: { limit: 50, perMs: 1000, cost: 2 }, concurrency: 100 };
    const id = '00000000-0000-7000-8000-000000000001';
    const batch = { id, name: null, handler: 'echo', total: 1000, params: null, options: JSON.stringify(options) };
    const no = await statements.acceptCount(batch, 10);
    const rows = () => database.db.execute(sql`select name, rate, per_ms, concurrency from limits order by name`);
    const flightMax = async () =>
      Number((await database.db.execute(sql`select flight_max from batches where no = ${no}`))[0]!['flight_max']);
    expect(await rows()).toEqual([{ name: batchLimit(no), rate: 50, per_ms: 1000, concurrency: 100 }]);
    expect(await flightMax()).toBe(50);
    await statements.limitHandler({ handler: 'echo', rate: 10, perMs: 1000, concurrency: null });
    expect(await flightMax()).toBe(10);
    expect(await statements.handlerLimits()).toEqual([{ handler: 'echo', rate: 10, perMs: 1000, concurrency: null }]);
    await statements.limitHandler({ handler: 'echo', rate: null, perMs: null, concurrency: null });
    expect(await statements.handlerLimits()).toEqual([]);
    expect(await flightMax()).toBe(50);
    expect(await statements.change({ batch: no, name: 'slow', options: { rateLimit: null } })).toBe(true);
    expect(await rows()).toEqual([{ name: batchLimit(no), rate: null, per_ms: null, concurrency: 100 }]);
    expect(await flightMax()).toBe(220);
    expect(await statements.counts(id)).toMatchObject({ name: 'slow', options: { concurrency: 100 } });
    await statements.cancel(no);
    expect(await statements.change({ batch: no, options: {} })).toBe(false);
    await statements.remove(id);
    expect(await rows()).toEqual([]);
  });

  it('that is raised does not wait for what was booked under the old one', async () => {
    const database = await databaseForTest();
    const { no } = await acceptBatch(database);
    const slow = { rateLimit: { limit: 1, perMs: 3_600_000 } };
    await database.statements.change({ batch: no, options: slow });
    const lease = async (): Promise<number> =>
      (await database.statements.leaseSlots([ask({ batch: batchLimit(no) })])).leased[0]!.starts;
    expect([await lease(), await lease()]).toEqual([1, 0]);
    await database.statements.change({ batch: no, options: { rateLimit: { limit: 100, perMs: 1000 } } });
    await eventually('slots are there within 2 s', async () => (await lease()) > 0, 2000);
  });
});
