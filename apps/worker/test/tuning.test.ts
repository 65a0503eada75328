import { describe, expect, it } from 'vitest';
import { createHands, handsFor } from '../src/hands.ts';
import { createSlots } from '../src/slots.ts';
import { createConcurrency, flushesFor } from '../src/tuning.ts';

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

describe('hands', () => {
  const one = { tag: 1, batch: 1 };
  it('are given in the order they were asked for, never more than there are', async () => {
    const hands = createHands({ chunks: 2, concurrency: 1, threads: () => 0 });
    const got: number[] = [];
    for (let n = 0; n < 4; n += 1) void hands.take(() => false, one).then(() => got.push(n));
    await Promise.resolve();
    await Promise.resolve();
    expect([got.length, hands.held]).toEqual([2, 2]);
    hands.release(1);
    await Promise.resolve();
    await Promise.resolve();
    expect(got).toEqual([0, 1, 2]);
  });

  it('go to the lowest tag first, and beyond the limit to a batch that has none', async () => {
    const hands = createHands({ chunks: 2, concurrency: 1, threads: () => 0 });
    const got: number[] = [];
    const take = (tag: number, batch: number) => hands.take(() => false, { tag, batch }).then(() => got.push(tag));
    for (const tag of [10, 11, 14, 12]) void take(tag, 1);
    const settle = () => new Promise(setImmediate);
    await settle();
    expect(got).toEqual([10, 11]);
    for (const tag of [21, 20]) void take(tag, 2);
    void take(30, 3);
    void take(40, 4);
    await settle();
    expect([got, hands.held]).toEqual([[10, 11, 21, 30], 4]);
    hands.release(1);
    hands.release(2);
    hands.release(3);
    await settle();
    expect(got.slice(4)).toEqual([40, 20]);
    hands.release(4);
    hands.release(2);
    await settle();
    expect(got.slice(6)).toEqual([12]);
  });

  it('stay as many as starved handlers need, for a while after these have work', () => {
    const hands = createHands({ chunks: 'auto', concurrency: 100, threads: () => 0 });
    const look = (hasRoom: boolean): number => {
      hands.fit({ concurrency: 100, itemMs: 1000, hasRoom, chunksPerSecond: 1, roundTripMs: 0.3 });
      return hands.limit();
    };
    hands.saw(1000, 1000);
    expect(look(false)).toBe(2);
    for (let n = 0; n < 2; n += 1) void hands.take(() => false, one);
    expect([look(true), look(false), look(false)]).toEqual([8, 8, 8]);
    for (let n = 0; n < 10; n += 1) look(false);
    expect(hands.limit()).toBe(2);
  });

  it('that were asked for are not waited for any more once the partition is given up', async () => {
    const hands = createHands({ chunks: 1, concurrency: 1, threads: () => 0 });
    let gone = false;
    expect(await hands.take(() => gone, one)).toBe(true);
    const waiting = [hands.take(() => gone, one), hands.take(() => gone, one), hands.take(() => false, one)];
    gone = true;
    hands.dismiss();
    expect(await Promise.all(waiting.slice(0, 2))).toEqual([false, false]);
    hands.release(1);
    expect(await waiting[2]).toBe(true);
    expect(hands.held).toBe(1);
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
    expect(limits.filter((limit) => limit === 150).length).toBeLessThan(7);
  });

  it('tries again soon where one measurement was disturbed', () => {
    const next = createConcurrency();
    let limit = 100;
    // 50 ms an item; the second measurement falls into a busy moment.
    for (let second = 0; second < 12; second += 1)
      limit = next({ perSecond: limit * 20 * (second === 1 ? 0.5 : 1), wanted: true, busy: 0.1 });
    expect(limit).toBeGreaterThan(1000);
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
