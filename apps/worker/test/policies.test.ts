import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '../src/backoff.ts';
import { withoutGuilty } from '../src/guilty.ts';
import { createHands, handsFor } from '../src/hands.ts';
import { createSlots } from '../src/slots.ts';

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
  it('is enough for twice the items in handlers and a quarter of a second, within 8…64', () => {
    expect(handsFor({ concurrency: 100, itemsOfAChunk: 1000, chunksPerSecond: 0 })).toBe(8);
    expect(handsFor({ concurrency: 100, itemsOfAChunk: 10, chunksPerSecond: 0 })).toBe(20);
    expect(handsFor({ concurrency: 4, itemsOfAChunk: 3, chunksPerSecond: 100 })).toBe(25);
    expect(handsFor({ concurrency: 10_000, itemsOfAChunk: 1, chunksPerSecond: 9999 })).toBe(64);
  });
});

describe('hands', () => {
  it('are given in the order they were asked for, never more than there are', async () => {
    const hands = createHands({ chunks: 2, concurrency: 1 });
    const got: number[] = [];
    for (let n = 0; n < 4; n += 1) void hands.take().then(() => got.push(n));
    await Promise.resolve();
    await Promise.resolve();
    expect([got.length, hands.held]).toEqual([2, 2]);
    hands.release();
    await Promise.resolve();
    await Promise.resolve();
    expect(got).toEqual([0, 1, 2]);
  });
});

describe('slots', () => {
  it('go to the oldest chunk first, and on when one is not used', async () => {
    const slots = createSlots(1);
    slots.take();
    const got: string[] = [];
    const young = slots.wait(9).then(() => got.push('young'));
    const old = slots.wait(3).then(() => (got.push('old'), slots.pass()));
    slots.release();
    await Promise.all([young, old]);
    expect(got).toEqual(['old', 'young']);
  });
});

describe('withoutGuilty', () => {
  const settled = {
    no: 1,
    claim: 'c',
    first: 0,
    succeeded: 8,
    outputs: '[0,1,2,3,4,5,6,7]',
    indexes: null,
    failures: [],
    rests: [],
  };
  const refuse = (bad: readonly number[]) => async (outputs: string) => {
    if ((JSON.parse(outputs) as number[]).some((n) => bad.includes(n)))
      throw Object.assign(new Error('no'), { code: '22P02' });
    return 1;
  };

  it('fails the guilty items and keeps the others', async () => {
    const mended = await withoutGuilty(settled, refuse([2, 7]));
    expect(mended).toMatchObject({ succeeded: 6, outputs: '[0,1,3,4,5,6]', indexes: [0, 1, 3, 4, 5, 6] });
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
    expect(mended).toMatchObject({ succeeded: 1, outputs: '[]', indexes: [] });
    expect(mended.failures.map(({ index }) => index)).toEqual([9, 0, 1, 2, 3, 4, 5, 6, 7]);
    expect(new Set(mended.failures.map((failure) => failure.error.code))).toEqual(new Set(['output-not-storable']));
  });
});
