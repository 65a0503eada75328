import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { batchLimit } from '@bullpen/db';
import { createLog } from '@bullpen/runtime';
import { databaseForTest, eventually, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createLimits } from '../src/limits/limits.ts';
import type { Gate, Ticket } from '../src/limits/gate.ts';

const log = createLog({ name: 'test', level: 'silent', pretty: false });
const never = (): boolean => false;

async function accept({ statements }: TestDatabase, options: object): Promise<number> {
  const batch = { id: randomUUID(), name: null, handler: 'echo', total: 10, params: null };
  return statements.acceptCount({ ...batch, options: JSON.stringify(options) }, 10);
}

/** What a worker has of a batch. `slots` may be changed. */
async function openWorker({ statements }: Pick<TestDatabase, 'statements'>, batch: number, free = 100) {
  const slots = { free, max: free };
  const limits = createLimits({
    statements,
    workerId: randomUUID(),
    handlers: ['echo'],
    leaseMs: 2000,
    slots,
    log,
  });
  onTestFinished(() => limits.close());
  const gate = limits.gateOf(batch, 'echo');
  await limits.freshen(batch);
  return { limits, gate, slots };
}

/** Starts items as they may for so long; when each did. */
async function startFor(gate: Gate, ms: number): Promise<number[]> {
  const ticket = gate.enter(1_000_000);
  const times: number[] = [];
  const until = performance.now() + ms;
  while (performance.now() < until) {
    if (ticket.tryTake()) times.push(performance.now());
    else await ticket.wait(1, never, until);
    if (!gate.limited) await sleep(1);
  }
  ticket.leave();
  return times;
}

/** Has an item start as soon as it may. */
async function startOne(ticket: Ticket): Promise<void> {
  while (!ticket.tryTake()) await ticket.wait(1, never);
}

describe('a gate', () => {
  it('of a batch that nothing limits is open, and asks the database for nothing more than what limits it', async () => {
    const database = await databaseForTest();
    const { gate } = await openWorker(database, await accept(database, {}));
    expect(gate.limited).toBe(false);
    const ticket = gate.enter(10);
    expect([ticket.tryTake(), ticket.mayGo()]).toEqual([true, true]);
    await gate.further(1000, new AbortController().signal);
  });

  it('keeps the rate together with that of another worker, and both get to start', async () => {
    const database = await databaseForTest();
    const batch = await accept(database, { rateLimit: { limit: 200, perMs: 1000, cost: 2 } });
    const workers = await Promise.all([openWorker(database, batch), openWorker(database, batch)]);
    const starts = await Promise.all(workers.map(({ gate }) => startFor(gate, 2500)));
    const all = starts.flat().sort((a, b) => a - b);
    const inSecond = all.map((from) => all.filter((at) => at >= from && at < from + 1000).length);
    expect(Math.max(...inSecond)).toBeLessThanOrEqual(101);
    for (const own of starts) expect(own.length).toBeGreaterThan(20);
  });

  it('leases nothing for items that have all started', async () => {
    const database = await databaseForTest();
    const batch = await accept(database, { rateLimit: { limit: 10, perMs: 1000, cost: 1 } });
    const { gate } = await openWorker(database, batch);
    const ticket = gate.enter(3);
    for (let n = 0; n < 3; n += 1) await startOne(ticket);
    const startedAt = Date.now();
    await sleep(300);
    const [row] = await database.db.execute(sql`
      select extract(epoch from next_at)::float8 * 1000 as next from limits where name = ${batchLimit(batch)}`);
    // The next slot is one interval after the last that was used; it was two.
    expect(Number(row!['next']) - startedAt).toBeLessThan(130);
  });

  it('does as the limit says when that comes, changes and goes', async () => {
    const database = await databaseForTest();
    const batch = await accept(database, {});
    const { gate } = await openWorker(database, batch);
    const ticket = gate.enter(1000);
    const change = (rateLimit: object | null) => database.statements.change({ batch, options: { rateLimit } });
    await change({ limit: 1, perMs: 3_600_000 });
    await eventually('it is closed within 2 s', () => Promise.resolve(gate.limited), 2000);
    await startOne(ticket);
    expect(ticket.tryTake()).toBe(false);
    const waits = startOne(ticket);
    await change({ limit: 1000, perMs: 1000 });
    await Promise.race([waits, sleep(3000).then(() => Promise.reject(new Error('it still waits')))]);
    await change(null);
    await eventually('it is open within 2 s', () => Promise.resolve(!gate.limited), 2000);
    ticket.leave();
  });

  it('asks again after some seconds, however far away the next slot was', async () => {
    const database = await databaseForTest();
    const batch = await accept(database, { rateLimit: { limit: 1, perMs: 3_600_000, cost: 1 } });
    const { gate } = await openWorker(database, batch);
    const ticket = gate.enter(2);
    await startOne(ticket);
    const waits = startOne(ticket);
    await sleep(100);
    await database.db.execute(sql`update limits set next_at = clock_timestamp()`);
    await waits;
  }, 15_000);

  it('serves the oldest chunk first, and lets go those that are gone', async () => {
    const database = await databaseForTest();
    const batch = await accept(database, { rateLimit: { limit: 20, perMs: 1000, cost: 1 } });
    const { gate } = await openWorker(database, batch);
    const order: number[] = [];
    const ticket = gate.enter(4);
    const start = async (no: number): Promise<void> => {
      while (!ticket.tryTake()) await ticket.wait(no, never);
      order.push(no);
    };
    await startOne(ticket);
    await Promise.all([start(7), start(3), start(5)]);
    expect(order).toEqual([3, 5, 7]);
    const slow = await accept(database, { rateLimit: { limit: 1, perMs: 3_600_000, cost: 1 } });
    const { gate: other } = await openWorker(database, slow);
    const waiting = other.enter(5);
    await startOne(waiting);
    let gone = false;
    const left = waiting.wait(1, () => gone);
    gone = true;
    await left;
    await waiting.wait(1, never, performance.now() + 50);
  });

  it('of a paused batch stays closed until the pause is over, on other workers too', async () => {
    const database = await databaseForTest();
    const batch = await accept(database, {});
    const [one, two] = await Promise.all([openWorker(database, batch), openWorker(database, batch)]);
    const [ticket, others] = [one.gate.enter(10), two.gate.enter(10)];
    one.gate.pauseAll(2500);
    const began = performance.now();
    expect(ticket.tryTake()).toBe(false);
    await eventually('the other has heard of it', () => Promise.resolve(!others.tryTake()), 2000);
    await Promise.all([startOne(ticket), startOne(others)]);
    expect(performance.now() - began).toBeGreaterThan(2400);
    await eventually('nothing limits it', () => Promise.resolve(!one.gate.limited && !two.gate.limited), 3000);
  });

  it('gives slots for calls inside a handler, and stops waiting when the item is over', async () => {
    const database = await databaseForTest();
    const batch = await accept(database, { rateLimit: { limit: 50, perMs: 1000, cost: 1 } });
    const { gate } = await openWorker(database, batch);
    const { signal } = new AbortController();
    const times: number[] = [];
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        await gate.further(1, signal);
        times.push(performance.now());
      }),
    );
    for (const [at, time] of times.entries()) if (at > 0) expect(time - times[at - 1]!).toBeGreaterThan(5);
    expect(times.at(-1)! - times[0]!).toBeGreaterThan(90);
    const abort = new AbortController();
    // It takes 20 s of slots, and the next would have to wait for them.
    const [first, second] = [gate.further(1000, signal), gate.further(1000, abort.signal)];
    await first;
    abort.abort(new Error('over'));
    await expect(second).rejects.toThrow('over');
  });
});

describe('permits', () => {
  it('let no more items run at once over all workers than the limit, and are used up', async () => {
    const database = await databaseForTest();
    const batch = await accept(database, { concurrency: 3 });
    const workers = await Promise.all(Array.from({ length: 4 }, () => openWorker(database, batch)));
    let running = 0;
    const seen: number[] = [];
    const counts = workers.map(() => 0);
    let over = false;
    const runs = workers.map(async ({ gate }, worker) => {
      const ticket = gate.enter(1000);
      const open = new Set<Promise<void>>();
      while (!over) {
        await ticket.wait(1, () => over);
        if (over || !ticket.tryTake()) continue;
        gate.use(1);
        running += 1;
        seen.push(running);
        counts[worker]! += 1;
        const item: Promise<void> = sleep(20).then(() => {
          running -= 1;
          gate.use(-1);
          open.delete(item);
        });
        open.add(item);
      }
      await Promise.all(open);
      ticket.leave();
    });
    await eventually('three run', () => Promise.resolve(running === 3), 5000);
    await eventually('many have run', () => Promise.resolve(counts.reduce((a, b) => a + b) > 60), 10_000);
    expect(Math.max(...seen)).toBe(3);
    // Lowered: what runs goes on, and nothing starts until there is room.
    await database.statements.change({ batch, options: { concurrency: 1 } });
    await eventually('one runs', () => Promise.resolve(running <= 1), 3000);
    await sleep(1000);
    seen.length = 0;
    await sleep(500);
    expect(Math.max(0, ...seen)).toBeLessThanOrEqual(1);
    over = true;
    await Promise.all(runs);
    await eventually('nobody holds any', async () => {
      const rows = await database.db.execute(sql`select 1 from permits where name = ${batchLimit(batch)}`);
      return rows.length === 0;
    });
  });

  it('of one that does nothing any more go to those who wait', async () => {
    const database = await databaseForTest();
    const batch = await accept(database, { concurrency: 1 });
    const [one, two] = await Promise.all([openWorker(database, batch), openWorker(database, batch)]);
    const ticket = one.gate.enter(5);
    await startOne(ticket);
    one.gate.use(1);
    // Only now: had it entered before, it might have the permit, and nobody would start.
    const others = two.gate.enter(5);
    let isServed = false;
    const waits = startOne(others).then(() => (isServed = true));
    await sleep(300);
    expect(isServed).toBe(false);
    one.gate.use(-1);
    ticket.leave();
    await waits;
  });

  it('are left to others by a worker whose slots are taken, which asks again when it has one', async () => {
    const database = await databaseForTest();
    const batch = await accept(database, { concurrency: 2 });
    const [full, idle] = await Promise.all([openWorker(database, batch, 8), openWorker(database, batch, 8)]);
    full.slots.free = 0;
    for (const { gate } of [full, idle]) gate.holdsSlots();
    const [waits, runs] = [full.gate.enter(5), idle.gate.enter(5)];
    expect(waits.tryTake()).toBe(false);
    for (let n = 0; n < 2; n += 1) {
      await startOne(runs);
      idle.gate.use(1);
    }
    idle.gate.use(-1);
    runs.set(0);
    full.slots.free = 1;
    await startOne(waits);
  });

  it('of a handler go to the batch whose turn it is, also where another has them', async () => {
    const database = await databaseForTest();
    await database.statements.limitHandler({ handler: 'echo', rate: null, perMs: null, concurrency: 2 });
    const [long, small] = [await accept(database, {}), await accept(database, {})];
    const { limits, gate } = await openWorker(database, long);
    let isOver = false;
    let started = 0;
    const startAll = async (of: Gate, order: number, items: number): Promise<void> => {
      const ticket = of.enter(items);
      for (let item = 0; item < items && !isOver; item += 1) {
        while (!isOver && !ticket.tryTake()) await ticket.wait(order, () => isOver);
        of.use(1);
        started += 1;
        void sleep(5).then(() => of.use(-1));
      }
      ticket.leave();
    };
    const beside = startAll(gate, 2, 1_000_000);
    await eventually('it has them', () => Promise.resolve(started > 10));
    const other = limits.gateOf(small, 'echo');
    await limits.freshen(small);
    await startAll(other, 1, 100);
    isOver = true;
    await beside;
  }, 15_000);

  it('of a handler are left by a batch that was not here for long, when there are too many others', async () => {
    const database = await databaseForTest();
    await database.statements.limitHandler({ handler: 'echo', rate: null, perMs: null, concurrency: 2 });
    const { limits, gate } = await openWorker(database, await accept(database, {}));
    expect(gate.limited).toBe(true);
    for (let others = 0; others < 4000; others += 1) limits.gateOf(100_000 + others, 'echo');
    expect(gate.limited).toBe(false);
  });

  it('that are enough are there while they are shared again', async () => {
    const database = await databaseForTest();
    const batch = await accept(database, { concurrency: 100 });
    const slowly = async (...request: Parameters<typeof database.statements.sharePermits>) => {
      const shared = await database.statements.sharePermits(...request);
      await sleep(100);
      return shared;
    };
    const statements = { ...database.statements, sharePermits: slowly };
    const { gate } = await openWorker({ statements }, batch);
    const ticket = gate.enter(1e6);
    await startOne(ticket);
    const until = performance.now() + 1500;
    let refused = 0;
    for (; performance.now() < until; await sleep(5)) if (!ticket.tryTake()) refused += 1;
    expect(refused).toBe(0);
  });
});
