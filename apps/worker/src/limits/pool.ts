import type { Bookings } from './bookings.ts';
import { createStarts } from './starts.ts';

/** Limits that a start takes slots of; null: none. */
export interface Names {
  batch: string | null;
  handler: string | null;
}

/** Starts that are asked for at first: it is not known whether they can be used, and what is leased are some ms at most. */
const sizeFirst = 1000;
const sizeMax = 1_000_000;
/** Takes between two looks whether more should be asked for, at most. */
const strideMax = 64;
/** It asks again after this, however far away the next is said to be: a clock may have been set back. */
const askAgainMs = 5000;

/**
 * The starts of one cost that a batch has in this worker: asks for more in time, and for no more than it will use. How many that is shows
 * in what it uses: all of them, and it asks for twice as many the next time; some were lost, and it asks for what it used.
 */
export function createPool(cost: number, names: Names, bookings: Bookings, onStarts: () => void) {
  const starts = createStarts();
  let size = sizeFirst;
  let pending = 0;
  let used = 0;
  let debtMs = 0;
  let left = 1;
  let lastAt = -Infinity;
  let notBefore = -Infinity;

  /** Sees to it that there will be starts for so many. */
  function want(wanted: number, now: number): void {
    if (pending > 0 || now < notBefore) return;
    debtMs += starts.takeDebt();
    const there = starts.count(now);
    left = Math.max(1, Math.min(strideMax, there >> 1));
    const isFull = there * 2 > size || lastAt - now > bookings.aheadMs();
    const missing = isFull ? 0 : Math.max(0, Math.min(wanted, size) - there);
    if (missing > 0) {
      size = starts.takeLost() > 0 ? Math.max(1, used) : Math.min(sizeMax, size * 2);
      used = 0;
    }
    if (missing > 0 || debtMs > 0) ask(missing);
  }

  function ask(missing: number): void {
    const owed = debtMs;
    pending = Math.max(1, missing);
    debtMs = 0;
    bookings.ask({ ...names, cost, starts: missing, debtMs: owed }, (leased, toLocal, receivedAt) => {
      pending = 0;
      const { starts: left, everyMs, looseMs } = leased;
      if (leased.waitMs > 0) {
        notBefore = receivedAt + Math.min(askAgainMs, leased.waitMs);
        debtMs += owed;
      } else if (left > 0) {
        const at = toLocal(leased.firstAt);
        starts.add({ at, everyMs, left, looseMs });
        lastAt = at + (left - 1) * everyMs;
      }
      onStarts();
    });
  }

  return {
    want,
    /** How many may start now, up to `most`; `wanted`: how many would. */
    take(now: number, most: number, wanted: (now: number) => number): number {
      const got = starts.take(now, most);
      used += got;
      left -= Math.max(1, got);
      // Those that start still count among those that would.
      if (got === 0 || left <= 0) want(wanted(now) - got, now);
      return got;
    },
    /** When there may be one, or something to ask for. */
    nextAt: (now: number): number => Math.min(starts.nextAt(now), notBefore > now ? notBefore : Infinity),
    /** Those that are there, and those that are asked for. */
    booked: (now: number): number => starts.count(now) + pending,
    clear(): void {
      starts.clear();
      [lastAt, notBefore] = [-Infinity, -Infinity];
    },
  };
}

export type Pool = ReturnType<typeof createPool>;
