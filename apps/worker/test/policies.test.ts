import { type Settled, splitTexts } from '@bullpen/db';
import type { Log } from '@bullpen/runtime';
import fc from 'fast-check';
import { texts } from '@bullpen/testkit';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '../src/backoff.ts';
import { withoutGuilty } from '../src/guilty.ts';
import { createHandBacks } from '../src/hand-backs.ts';
import { idleReason } from '../src/helping.ts';
import { createPinWatch } from '../src/pin-watch.ts';
import { pinsOf } from '../src/pins.ts';
import { prefetchFor } from '../src/serving.ts';

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
  it('is the share of the hands that each partition has, and a window; or a few, where others help', () => {
    const both = (hands: number, partitions: number) =>
      [false, true].map((helped) => prefetchFor(hands, partitions, helped));
    expect([both(8, 1), both(8, 12), both(64, 4), both(8, 0)]).toEqual([[72, 12], [65, 5], [80, 20], [72, 12]]); // prettier-ignore
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

describe('withoutGuilty', () => {
  const settled: Settled = {
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
