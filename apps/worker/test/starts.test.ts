import { mostWithin } from '@bullpen/testkit';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createServerClock } from '../src/limits/clock.ts';
import { createGroupLimit, createGroupLimits } from '../src/limits/group-limit.ts';
import { createStarts } from '../src/limits/starts.ts';

interface Plan {
  limit: number;
  /** How late the looks of each worker's loop are, again and again, and how many starts it asks for at once. */
  workers: readonly { lags: readonly number[]; starts: number }[];
}

const everyOf = ({ limit }: Plan): number => (1000 / limit) * 1.015;

/** Workers that ask for starts when they have none, as the database gives them, and look at their clock now and then; when items start. */
function play(plan: Plan, forMs = 3000): number[] {
  const everyMs = everyOf(plan);
  let nextAt = 0;
  const workers = plan.workers.map((worker) => ({ ...worker, own: createStarts(), look: 0, at: 0 }));
  const times: number[] = [];
  for (;;) {
    const worker = workers.reduce((a, b) => (b.at < a.at ? b : a));
    const now = worker.at;
    if (now > forMs) return times;
    while (worker.own.take(now, 1) > 0) times.push(now);
    const debtMs = worker.own.takeDebt();
    if (debtMs > 0) nextAt = Math.max(nextAt, now) + debtMs;
    // Ranges are short, and none is leased far ahead.
    const left = everyMs > 10 ? 1 : worker.starts;
    const at = Math.max(nextAt, now);
    if (worker.own.count(now) === 0 && at <= now + 500) {
      worker.own.add({ at, everyMs, left, looseMs: 0 });
      nextAt = at + left * everyMs;
    }
    worker.look += 1;
    worker.at += worker.lags[worker.look % worker.lags.length]! + 0.2;
  }
}

const plans = (lagMax: number, limit = { min: 5, max: 900 }): fc.Arbitrary<Plan> => {
  const lags = fc.array(fc.double({ min: 0, max: lagMax, noNaN: true }), { minLength: 1, maxLength: 40 });
  const worker = fc.record({ lags, starts: fc.integer({ min: 1, max: 3 }) });
  return fc.record({ limit: fc.integer(limit), workers: fc.array(worker, { minLength: 1, maxLength: 8 }) });
};

/** Those that are less than 5 ms apart may be later, and by 1.5 % more. */
const allowed = (plan: Plan): number => (everyOf(plan) >= 5 ? plan.limit : Math.ceil(plan.limit * 1.02));

describe('starts', () => {
  it('are never more in a second than the limit, on any number of workers, however late their loops are', () => {
    for (const lagMax of [11, 40, 150]) {
      const property = fc.property(plans(lagMax), (plan) => {
        expect(mostWithin(play(plan), 1000)).toBeLessThanOrEqual(allowed(plan));
      });
      fc.assert(property, { numRuns: 150 });
    }
  });

  it('are all used where loops are in time, and none is before its time', () => {
    const property = fc.property(plans(3, { min: 5, max: 60 }), (plan) => {
      const times = play(plan);
      expect(times.length).toBeGreaterThan((3000 / everyOf(plan)) * 0.9 - 2);
      for (const [slot, at] of times.entries()) expect(at).toBeGreaterThanOrEqual(slot * everyOf(plan) - 1e-6);
    });
    fc.assert(property, { numRuns: 100 });
  });

  it('cost a loop that is late what it is late, not each of them', () => {
    const late = (lagMs: number): number =>
      play({ limit: 25, workers: [{ lags: [lagMs], starts: 1 }] }).length / (3000 / (40 * 1.015));
    expect(late(5)).toBeGreaterThan(0.97);
    expect(late(30)).toBeGreaterThan(0.6);
    // One at each look.
    expect(late(100)).toBeGreaterThan(0.35);
  });

  it('that are loose may be taken many at once, others one at a time', () => {
    const starts = createStarts();
    starts.add({ at: 0, everyMs: 0, left: 100, looseMs: 200 });
    starts.add({ at: 1, everyMs: 0.1, left: 100, looseMs: 0 });
    expect([1, 2, 3].map((now) => starts.take(now, 64))).toEqual([64, 36, 1]);
  });

  it('that were leased for nothing are counted as lost', () => {
    const starts = createStarts();
    starts.add({ at: 0, everyMs: 10, left: 10, looseMs: 0 });
    expect(starts.take(0, 1)).toBe(1);
    expect(starts.nextAt(1)).toBe(10);
    expect(starts.count(53)).toBe(5);
    expect(starts.takeLost()).toBe(4);
    starts.clear();
    expect(starts.nextAt(54)).toBe(Infinity);
  });
});

describe("the database's clock", () => {
  it('is never read early, and by a quick reply to the ms', () => {
    const delays = fc.array(fc.double({ min: 0, max: 500, noNaN: true }), { minLength: 1, maxLength: 60 });
    const property = fc.property(delays, fc.double({ min: -1e9, max: 1e12, noNaN: true }), (delays, ahead) => {
      const clock = createServerClock();
      for (const [at, delay] of delays.entries()) {
        const now = at * 1000;
        clock.saw(now + ahead, now + delay);
        expect(clock.toLocal(now + ahead)).toBeGreaterThanOrEqual(now - 1e-3);
        expect(clock.toLocal(now + ahead)).toBeLessThanOrEqual(now + delay + 1e-3);
      }
    });
    fc.assert(property);
  });

  it('is followed when it is put forward or back', () => {
    const clock = createServerClock();
    clock.saw(1000, 0);
    clock.saw(61_100, 100);
    expect(clock.toLocal(61_100)).toBe(100);
    clock.saw(200, 200);
    expect(clock.toLocal(300)).toBe(300);
  });
});

describe('the limit of a group', () => {
  it('keeps starts of a key an interval apart, also after a takeover, and forgets those whose time has passed', () => {
    const waits = fc.array(fc.record({ key: fc.nat(5), ms: fc.nat(80) }), { minLength: 10, maxLength: 200 });
    const property = fc.property(waits, fc.nat(199), (looks, takenAt) => {
      const rate = { limit: 10, perMs: 1000 };
      let groups = createGroupLimit(rate, 0);
      const started = new Map<string, number[]>();
      let now = 0;
      for (const [at, { key, ms }] of looks.entries()) {
        now += ms;
        // Another worker takes the line, and knows nothing of it.
        if (at === takenAt) groups = createGroupLimit(rate, now);
        const name = `k${key}`;
        if (groups.readyAt(name, now) > now) continue;
        groups.started(name, now);
        const before = started.get(name) ?? [];
        if (before.length > 0) expect(now - before.at(-1)!).toBeGreaterThanOrEqual(100);
        started.set(name, [...before, now]);
        expect(groups.size()).toBeLessThanOrEqual(6);
      }
    });
    fc.assert(property);
    const groups = createGroupLimit({ limit: 10, perMs: 1000 }, 0);
    for (let key = 0; key < 10_000; key += 1) groups.started(String(key), key);
    expect(groups.size()).toBeLessThanOrEqual(101);
  });

  it('lets those of a new batch start at once, waits after a takeover, and outlives the plan of its batch', () => {
    const limits = createGroupLimits();
    const now = performance.now();
    const rate = { limit: 1, perMs: 60_000 };
    const of = (batch: number, lease: string, leasedAt: number) =>
      limits({ batch, line: 0, lease, leasedAt }, rate, now);
    const own = of(1, 'a', now - 5000);
    expect(own.readyAt('k', now)).toBeLessThan(now);
    own.started('k', now);
    expect(of(1, 'a', now - 5000).readyAt('k', now)).toBe(now + 60_000);
    expect(of(1, 'b', now + 10).readyAt('other', now)).toBe(now + 60_010);
    for (let batch = 2; batch < 5000; batch += 1) of(batch, 'a', now - 5000);
    expect(of(2, 'a', now - 5000).readyAt('k', now)).toBeGreaterThan(now);
  });
});
