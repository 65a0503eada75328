import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createServerClock } from '../src/limits/clock.ts';
import { createGroupLimit } from '../src/limits/group-limit.ts';
import { createStarts } from '../src/limits/starts.ts';

/** The most that any window of so many ms holds. */
function most(times: readonly number[], ms: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  let first = 0;
  return sorted.reduce((found, time, at) => {
    while (time - sorted[first]! >= ms) first += 1;
    return Math.max(found, at - first + 1);
  }, 0);
}

interface Plan {
  limit: number;
  workers: number;
  /** How late each look of a worker's loop is. */
  lags: readonly number[];
  /** Which worker gets the next range, and how long it is. */
  ranges: readonly { worker: number; starts: number }[];
}

/** Workers that have leased ranges in turn, as the database gives them, and look at their clock now and then; when items start. */
function play({ limit, workers, lags, ranges }: Plan): { worker: number; at: number; slot: number }[] {
  const everyMs = (1000 / limit) * 1.015;
  const own = Array.from({ length: workers }, () => createStarts());
  let end = 0;
  for (const { worker, starts } of ranges) {
    own[worker % workers]!.add({ at: end, everyMs, left: starts });
    end += starts * everyMs;
  }
  const started: { worker: number; at: number; slot: number }[] = [];
  for (const [worker, starts] of own.entries()) {
    let look = 0;
    for (let now = 0; now < end + 300;) {
      while (starts.take(now)) started.push({ worker, at: now, slot: Math.floor(now / everyMs) });
      now += lags[(look += 1) % lags.length]! + 0.2;
    }
  }
  return started;
}

const plans = (lagMax: number): fc.Arbitrary<Plan> =>
  fc.record({
    limit: fc.integer({ min: 5, max: 1500 }),
    workers: fc.integer({ min: 1, max: 8 }),
    lags: fc.array(fc.double({ min: 0, max: lagMax, noNaN: true }), { minLength: 1, maxLength: 40 }),
    ranges: fc.array(fc.record({ worker: fc.nat(7), starts: fc.integer({ min: 1, max: 30 }) }), {
      minLength: 5,
      maxLength: 120,
    }),
  });

describe('starts', () => {
  it('are never more in a second than the limit, on any number of workers, where loops are late by little', () => {
    const property = fc.property(plans(11), (plan) => {
      const times = play(plan).map(({ at }) => at);
      // Those that are less than 5 ms apart may be later, and by 1.5 % more.
      const allowed = 1000 / plan.limit >= 5 / 1.015 ? plan.limit : Math.ceil(plan.limit * 1.02);
      expect(most(times, 1000)).toBeLessThanOrEqual(allowed);
    });
    fc.assert(property, { numRuns: 300 });
  });

  it('are at most one for each worker above it, however late loops are', () => {
    const property = fc.property(plans(150), (plan) => {
      const times = play(plan).map(({ at }) => at);
      expect(most(times, 1000)).toBeLessThanOrEqual(Math.ceil(plan.limit * 1.02) + plan.workers);
    });
    fc.assert(property, { numRuns: 300 });
  });

  it('are all used where loops are in time, and none is before its time', () => {
    const property = fc.property(plans(3), (plan) => {
      const started = play(plan);
      const all = plan.ranges.reduce((sum, { starts }) => sum + starts, 0);
      expect(started.length).toBe(all);
      const sorted = started.map(({ at }) => at).sort((a, b) => a - b);
      for (const [slot, at] of sorted.entries()) expect(at).toBeGreaterThanOrEqual((slot * 1015) / plan.limit - 1e-6);
    });
    fc.assert(property, { numRuns: 200 });
  });

  it('serve a loop that is always late half the time: one that is too late costs the next', () => {
    const starts = createStarts();
    starts.add({ at: 0, everyMs: 40, left: 100 });
    let used = 0;
    for (let now = 25; now < 4000; now += 40) if (starts.take(now)) used += 1;
    expect(used).toBeGreaterThanOrEqual(49);
    expect(used).toBeLessThanOrEqual(51);
  });

  it('that were leased for nothing are counted as lost', () => {
    const starts = createStarts();
    starts.add({ at: 0, everyMs: 10, left: 10 });
    expect(starts.take(0)).toBe(true);
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
});
