import { splitTexts } from '@bullpen/db';
import type { Log } from '@bullpen/runtime';
import fc from 'fast-check';
import { texts } from '@bullpen/testkit';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '../src/backoff.ts';
import { withoutGuilty } from '../src/guilty.ts';
import { createHandBacks } from '../src/hand-backs.ts';
import { createHands, handsFor } from '../src/hands.ts';
import { idleReason } from '../src/helping.ts';
import { createPinWatch } from '../src/pin-watch.ts';
import { pinsOf } from '../src/pins.ts';
import { prefetchFor } from '../src/serving.ts';
import { createSlots } from '../src/slots.ts';
import { createConcurrency, flushesFor } from '../src/tuning.ts';

describe('backoffMs', () => {
  it('doubles with each attempt, keeps half as jitter, and ends at an hour', () => {
    expect(backoffMs({ attempt: 1, baseMs: 1000, random: () => 1 })).toBe(1000);
    expect(backoffMs({ attempt: 4, baseMs: 1000, random: () => 0 })).toBe(4000);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 25 }),
        fc.integer({ min: 0, max: 3_600_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (attempt, baseMs, random) => {
          const wait = backoffMs({ attempt, baseMs, random: () => random });
          expect(wait).toBeLessThanOrEqual(3_600_000);
          expect(wait).toBeGreaterThanOrEqual(Math.floor(Math.min(3_600_000, baseMs) / 2));
        },
      ),
    );
  });
});

describe('handsFor', () => {
  const idle = {
    concurrency: 100,
    threads: 0,
    itemsOfAChunk: 1000,
    bytesOfAChunk: 60_000,
    itemMs: 0,
    isStarved: false,
    chunksPerSecond: 0,
    roundTripMs: 0.3,
  };
  it.each([
    ['a second one where each fills the handlers for long', { itemMs: 500 }, 2],
    ['a few where each takes some time', { itemMs: 10 }, 4],
    ['and 8 where a few items hold up the others', { itemMs: 500, isStarved: true }, 8],
    ['nothing is measured', {}, 8],
    ['small chunks hold twice the items in handlers', { itemsOfAChunk: 10 }, 20],
    ['each thread has one that runs and one that waits', { threads: 6 }, 12],
    ['a quarter of a second of work is here', { chunksPerSecond: 100 }, 26],
    ['and what two round trips take', { chunksPerSecond: 100, roundTripMs: 200 }, 65],
    ['never more than 256', { concurrency: 10_000, itemsOfAChunk: 1 }, 256],
    ['nor than 32 MiB of text', { chunksPerSecond: 1000, bytesOfAChunk: 2 ** 20 }, 32],
    ['but always 8 of those that take no time', { chunksPerSecond: 1000, bytesOfAChunk: 2 ** 25 }, 8],
  ])('%s', (_, measured, chunks) => {
    expect(handsFor({ ...idle, ...measured })).toBe(chunks);
  });
});

describe('flushesFor', () => {
  it('is two that the server works at and those on their way, within 2…8', () => {
    expect(flushesFor({ flushMs: 0, roundTripMs: 0.3 })).toBe(2);
    expect(flushesFor({ flushMs: 40, roundTripMs: 0.3 })).toBe(2);
    expect(flushesFor({ flushMs: 90, roundTripMs: 50 })).toBe(5);
    expect(flushesFor({ flushMs: 210, roundTripMs: 200 })).toBe(8);
  });
});

describe('concurrency that is auto', () => {
  /** Items of `ms` in a handler that does no more than `most` of them a second, for so many seconds. */
  function settlesAt({
    ms,
    most,
    seconds = 60,
    busy = 0.2,
  }: {
    ms: number;
    most: number;
    seconds?: number;
    busy?: number;
  }) {
    const next = createConcurrency();
    const limits = [100];
    for (let second = 0; second < seconds; second += 1) {
      const perSecond = Math.min(most, (limits.at(-1)! / ms) * 1000);
      limits.push(next({ perSecond, wanted: true, busy }));
    }
    return limits;
  }

  it('grows as long as more items end for it, and stops at what the handlers can get', () => {
    expect(Math.max(...settlesAt({ ms: 50, most: Infinity }))).toBe(2000);
    // 10 000 a second at 50 ms are 500 at once.
    const limits = settlesAt({ ms: 50, most: 10_000 });
    expect(limits.at(-1)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...limits)).toBeLessThanOrEqual(500 * 1.5 * 1.5);
  });

  it('goes back from a step that brought nothing, and tries again after a while only', () => {
    const limits = settlesAt({ ms: 10, most: 5000 });
    expect(limits.filter((limit) => limit === 100).length).toBeGreaterThan(54);
    expect(limits.filter((limit) => limit === 150).length).toBeLessThan(5);
  });

  it('begins anew when nothing has run for a while', () => {
    const next = createConcurrency();
    for (let second = 0; second < 6; second += 1) next({ perSecond: 1000 * 1.5 ** second, wanted: true, busy: 0.1 });
    const idle = Array.from({ length: 12 }, () => next({ perSecond: 0, wanted: false, busy: 0 }));
    expect([idle[1]! > 500, idle.at(-1)]).toEqual([true, 100]);
  });

  it('stays where nothing waits for it, and where the loop has no time', () => {
    expect(settlesAt({ ms: 50, most: Infinity, busy: 0.95 }).at(-1)).toBe(100);
    const next = createConcurrency();
    for (let second = 0; second < 5; second += 1) expect(next({ perSecond: 100, wanted: false, busy: 0.1 })).toBe(100);
  });
});

describe('slots', () => {
  it('that become more let those in who wait; that become fewer give none until enough have come back', async () => {
    const slots = createSlots(1);
    slots.take();
    const got: number[] = [];
    for (const order of [2, 1, 3]) void slots.wait(order, () => false).then(() => (slots.take(), got.push(order)));
    slots.resize(3);
    await new Promise(setImmediate);
    expect([got, slots.free]).toEqual([[1, 2], 0]);
    slots.resize(1);
    slots.release(5);
    slots.release(5);
    await new Promise(setImmediate);
    expect([got, slots.free]).toEqual([[1, 2], 0]);
    slots.release(5);
    await new Promise(setImmediate);
    expect(got).toEqual([1, 2, 3]);
    expect(slots.takeCounts()).toEqual({ ended: 3, wanted: true });
    expect(slots.takeCounts()).toEqual({ ended: 0, wanted: false });
  });
});

describe('hands', () => {
  it('are given in the order they were asked for, never more than there are', async () => {
    const hands = createHands({ chunks: 2, concurrency: 1, threads: () => 0 });
    const got: number[] = [];
    for (let n = 0; n < 4; n += 1) void hands.take(() => false).then(() => got.push(n));
    await Promise.resolve();
    await Promise.resolve();
    expect([got.length, hands.held]).toEqual([2, 2]);
    hands.release();
    await Promise.resolve();
    await Promise.resolve();
    expect(got).toEqual([0, 1, 2]);
  });
});

describe('hands that were asked for', () => {
  it('are not waited for any more once the partition is given up', async () => {
    const hands = createHands({ chunks: 1, concurrency: 1, threads: () => 0 });
    let gone = false;
    expect(await hands.take(() => gone)).toBe(true);
    const waiting = [hands.take(() => gone), hands.take(() => gone), hands.take(() => false)];
    gone = true;
    hands.dismiss();
    expect(await Promise.all(waiting.slice(0, 2))).toEqual([false, false]);
    hands.release();
    expect(await waiting[2]).toBe(true);
    expect(hands.held).toBe(1);
  });
});

describe('jobs that a drain hands back', () => {
  it('go in one statement, and each waits for it', async () => {
    const sent: number[][] = [];
    const handBack = createHandBacks(async (jobs) => (sent.push(jobs.map(({ no }) => no)), []));
    const job = (chunk: number) => handBack({ chunk, generation: 1, batch: 'b', items: 1 });
    await Promise.all([job(1), job(2), job(3)]);
    await job(4);
    expect(sent).toEqual([[1, 2, 3], [4]]);
  });

  it('are lost to nobody when the statement fails', async () => {
    const handBack = createHandBacks(() => Promise.reject(new Error('away')));
    await expect(handBack({ chunk: 1, generation: 1, batch: 'b', items: 1 })).rejects.toThrow('away');
  });
});

describe('prefetchFor', () => {
  it('is the share of the hands that each partition has, and a few', () => {
    expect([prefetchFor(8, 1), prefetchFor(8, 12), prefetchFor(64, 4), prefetchFor(8, 0)]).toEqual([12, 5, 20, 12]);
  });
});

describe('pinsOf', () => {
  const none = { workerIndex: undefined, workerCount: undefined, workerPartitions: undefined };

  it('is every n-th partition of an index, or those that were named', () => {
    expect(pinsOf(none, 12)).toBeNull();
    expect(pinsOf({ ...none, workerIndex: 1, workerCount: 5 }, 12)).toEqual([1, 6, 11]);
    expect(pinsOf({ ...none, workerPartitions: [0, 3] }, 4)).toEqual([0, 3]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), (partitions, workerCount) => {
        const indexes = Array.from({ length: Math.min(workerCount, partitions) }, (_, index) => index);
        const pins = indexes.flatMap((workerIndex) => pinsOf({ ...none, workerIndex, workerCount }, partitions)!);
        expect(pins.sort((a, b) => a - b)).toEqual(Array.from({ length: partitions }, (_, no) => no));
      }),
    );
  });

  it('refuses partitions that are not there', () => {
    expect(() => pinsOf({ ...none, workerPartitions: [3, 4, 9] }, 4)).toThrow(
      /names 4, 9, but .* 4 partitions: 0 to 3/,
    );
    expect(() => pinsOf({ ...none, workerIndex: 12, workerCount: 13 }, 12)).toThrow(
      /WORKER_INDEX 12 of 13 would have no partition/,
    );
  });
});

describe('the pin watch', () => {
  it('warns once, when another has the pins for longer than a lease, and says when it is over', () => {
    const said: string[] = [];
    const log = { warn: (_: object, text: string) => said.push(text), info: (text: string) => said.push(text) };
    let now = 0;
    const watch = createPinWatch(1000, log as unknown as Log, () => now);
    const at = (time: number, heldBy: string | null): number => ((now = time), watch(heldBy), said.length);
    // The row of its former self.
    expect([at(0, 'me'), at(999, 'me'), at(1100, null)]).toEqual([0, 0, 0]);
    expect([at(2000, 'other'), at(3000, 'other'), at(3001, 'other'), at(9000, 'other')]).toEqual([0, 0, 1, 1]);
    expect([at(9500, null), at(9600, null)]).toEqual([2, 2]);
    expect(said[0]).toMatch(/runs unpinned/);
  });
});

describe('idleReason', () => {
  it('says what keeps a worker from helping', () => {
    expect(idleReason({ reserved: 0 }, { owners: 2, missing: ['add'] })).toMatch(/does not know: add$/);
    expect(idleReason({ reserved: 3 }, { owners: 0, missing: [] })).toMatch(/kept for pinned workers .*: 3$/);
    expect(idleReason({ reserved: 0 }, { owners: 0, missing: [] })).toMatch(/nobody owns/);
  });
});

describe('slots', () => {
  const never = () => false;
  it('go to the oldest chunk first, and on when one is not used', async () => {
    const slots = createSlots(1);
    slots.take();
    const got: string[] = [];
    const young = slots.wait(9, never).then(() => got.push('young'));
    const old = slots.wait(3, never).then(() => (got.push('old'), slots.pass()));
    slots.release(1);
    await Promise.all([young, old]);
    expect(got).toEqual(['old', 'young']);
  });

  it('are waited for no more by who was dismissed', async () => {
    const slots = createSlots(1);
    slots.take();
    const got: string[] = [];
    void slots.wait(1, never).then(() => got.push('stays'));
    const leaving = slots.wait(2, () => true).then(() => got.push('leaves'));
    slots.dismiss();
    await leaving;
    expect(got).toEqual(['leaves']);
  });
});

describe('withoutGuilty', () => {
  const settled = {
    no: 1,
    claim: 'c',
    first: 0,
    succeeded: 8,
    outputs: texts([0, 1, 2, 3, 4, 5, 6, 7]),
    indexes: null,
    failures: [],
    rests: [],
  };
  const refuse = (bad: readonly number[]) => async (outputs: string) => {
    if (splitTexts(outputs).some((text) => bad.includes(Number(text))))
      throw Object.assign(new Error('no'), { code: '22P02' });
    return 1;
  };

  it('fails the guilty items and keeps the others', async () => {
    const mended = await withoutGuilty(settled, refuse([2, 7]));
    expect(mended).toMatchObject({ succeeded: 6, outputs: texts([0, 1, 3, 4, 5, 6]), indexes: [0, 1, 3, 4, 5, 6] });
    expect(mended.failures.map((failure) => [failure.index, failure.error.code])).toEqual([
      [2, 'output-not-storable'],
      [7, 'output-not-storable'],
    ]);
  });

  it('fails all that has something to store when no output is guilty', async () => {
    const mended = await withoutGuilty(
      { ...settled, succeeded: 9, failures: [{ index: 9, error: { code: 'x', message: 'y' } }] },
      refuse([]),
    );
    expect(mended).toMatchObject({ succeeded: 1, outputs: '', indexes: [] });
    expect(mended.failures.map(({ index }) => index)).toEqual([9, 0, 1, 2, 3, 4, 5, 6, 7]);
    expect(new Set(mended.failures.map((failure) => failure.error.code))).toEqual(new Set(['output-not-storable']));
  });
});
