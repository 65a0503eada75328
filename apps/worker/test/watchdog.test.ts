import type { Holding } from '@bullpen/db';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blame } from '../src/watchdog/blame.ts';
import { cells, createMarks, none, start, together, viewsOf } from '../src/watchdog/marks.ts';
import { createStalls, type Finding } from '../src/watchdog/stalls.ts';

const tickMs = 100;

/** What is found at each of `ticks` looks while the main thread stands where it is. */
function standing(judge: ReturnType<typeof createStalls>, ticks: number, at: { item: number; timeoutMs?: number }) {
  const found: Finding[] = [];
  for (let tick = 0; tick < ticks; tick += 1) found.push(judge({ call: 7, turns: 7, timeoutMs: 0, ...at }));
  return found;
}

describe('stalls', () => {
  it('a long call is stood in for until timeoutMs, then blamed', () => {
    const found = standing(createStalls({ tickMs, leaseMs: 5000 }), 60, { item: 3, timeoutMs: 4000 });
    expect(found.indexOf('stay')).toBe(10);
    expect(found.filter((each) => each === 'stay')).toHaveLength(4);
    expect(found.indexOf('blame')).toBe(41);
    expect(found).not.toContain('stuck');
  });

  it('a call is given a second whatever timeoutMs says', () => {
    expect(standing(createStalls({ tickMs, leaseMs: 5000 }), 20, { item: 3, timeoutMs: 1 }).indexOf('blame')).toBe(11);
  });

  it('calls that come and go are fine, however many', () => {
    const judge = createStalls({ tickMs, leaseMs: 500 });
    for (let call = 0; call < 200; call += 1)
      expect(judge({ call, item: 0, timeoutMs: 1, turns: call >> 3 })).toBe('fine');
  });

  it('a loop that stands still outside of any call has lost its chunks after a lease, and is ended after two', () => {
    const found = standing(createStalls({ tickMs, leaseMs: 5000 }), 120, { item: none });
    expect(found.indexOf('stuck')).toBe(101);
    expect(new Set(found.slice(0, 101))).toEqual(new Set(['fine']));
  });

  it('a process that was stopped as a whole is held to nothing', () => {
    const judge = createStalls({ tickMs, leaseMs: 5000 });
    standing(judge, 5, { item: 3, timeoutMs: 4000 });
    // However long it was stopped, the watchdog has looked once more when it goes on.
    expect(standing(judge, 1, { item: 3, timeoutMs: 4000 })).toEqual(['fine']);
    expect(judge({ call: 8, turns: 8, item: 4, timeoutMs: 4000 })).toBe('fine');
  });
});

describe('marks', () => {
  it('say which item of which chunk is in a call, also of a chunk with a large number', () => {
    const marks = createMarks();
    const { chunk, item, words } = viewsOf(marks.shared);
    expect(item[0]).toBe(none);
    marks.enter(2 ** 40 + 1, 2 ** 41 + 3, 86_400_000);
    expect([chunk[0], item[0], words[cells.timeoutMs]]).toEqual([2 ** 40 + 1, 2 ** 41 + 3, 86_400_000]);
    const call = words[cells.call];
    marks.leave();
    marks.enter(1, 0, 1);
    expect(words[cells.call]).not.toBe(call);
  });
});

describe('blame', () => {
  const error = { code: 'timeout', message: 'too long' };
  const holding = (more: Partial<Holding> = {}): Holding => ({
    no: 1, batch: 1, first: 10, size: 5, picks: null, attempt: 1, crashes: 1, format: 1, taken: true, inputs: [], claim: 'c',
    options: { maxAttempts: 2, backoffMs: 0 }, line: null, ...more,
  }); // prettier-ignore

  it('takes one attempt from the guilty item, and nothing from the others', () => {
    expect(blame(holding(), 12, error).rests).toMatchObject([
      { picks: [10, 11, 13, 14], attempt: 1, delayMs: 0 },
      { first: 12, size: 1, attempt: 2 },
    ]);
    expect(blame(holding({ attempt: 2 }), 12, error)).toMatchObject({
      failures: [{ index: 12, error }],
      rests: [{ picks: [10, 11, 13, 14], attempt: 2 }],
    });
  });

  it('has each item tried alone after a call for all, and all again when it was the batch', () => {
    expect(blame(holding(), together, error).rests.map(({ size }) => size)).toEqual([1, 1, 1, 1, 1]);
    expect(blame(holding(), start, error).rests.map(({ size, attempt }) => [size, attempt])).toEqual([[5, 2]]);
  });

  it('loses and doubles no item', () => {
    const indexes = fc
      .uniqueArray(fc.nat(200), { minLength: 1, maxLength: 40 })
      .map((all) => all.sort((a, b) => a - b));
    fc.assert(
      fc.property(
        indexes,
        fc.integer({ min: -3, max: 200 }),
        fc.integer({ min: 1, max: 3 }),
        (picks, item, attempt) => {
          fc.pre(item !== none);
          const settled = blame(holding({ first: picks[0]!, size: picks.length, picks, attempt }), item, error);
          const back = settled.rests.flatMap(
            ({ first, size, picks }) => picks ?? Array.from({ length: size }, (_, i) => first + i),
          );
          expect([...back, ...settled.failures.map(({ index }) => index)].sort((a, b) => a - b)).toEqual(picks);
        },
      ),
    );
  });
});
