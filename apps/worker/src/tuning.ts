import type { Settings } from '@bullpen/runtime';
import type { Flushes } from './flushes.ts';
import type { Hands } from './hands.ts';
import type { Slots } from './slots.ts';

/** Items in handlers at once where nothing is measured yet: a handler that waits 10 ms reaches 10 000 items/s with it. */
export const concurrencyFirst = 100;
const concurrencyMax = 2000;
const growth = 1.5;
/** So much more has to end of half as many again: less, and what handlers wait for is at its limit. */
const worthwhile = 1.15;
/** A loop that is busier than this has no time for more items. */
const busyMax = 0.85;
/**
 * After a step that was not worth it, this many measurements without another; more after each that follows. The first may have
 * been a busy moment of the machine.
 */
const restsFor = [2, 5, 10, 20];
/** After so many in which no item ended, what was found is forgotten: the next ones may call something else. */
const forgetAfter = 10;

export interface Pace {
  /** Items that ended in a handler, a second. */
  perSecond: number;
  /** Items had to wait for a slot. */
  wanted: boolean;
  /** Part of the time in which the event loop had something to do, 0…1. */
  busy: number;
}

/**
 * Items in handlers at once, found by trying: as long as items wait for a slot and the loop has time, half as many more;
 * where that does not let more of them end, back again, and no other try for a while, which grows. By Little's law the rate is items at once ÷
 * time of an item, so more of them help until the time grows, be it of this worker's or of whatever the handlers call.
 */
export function createConcurrency(first = concurrencyFirst) {
  let current = first;
  let before: { limit: number; perSecond: number } | null = null;
  let rest = 0;
  let idle = 0;
  /** Steps in vain, one after the other. */
  let inVain = 0;

  return function next({ perSecond, wanted, busy }: Pace): number {
    idle = perSecond === 0 ? idle + 1 : 0;
    if (idle >= forgetAfter) [current, before, rest, inVain] = [first, null, 0, 0];
    if (before !== null) {
      const isWorthIt = perSecond >= before.perSecond * worthwhile;
      if (!isWorthIt) [current, rest] = [before.limit, restsFor[Math.min(inVain, restsFor.length - 1)]!];
      inVain = isWorthIt ? 0 : inVain + 1;
      before = null;
      if (!isWorthIt) return current;
    }
    rest = Math.max(0, rest - 1);
    if (!wanted || perSecond === 0 || rest > 0 || busy > busyMax || current >= concurrencyMax) return current;
    before = { limit: current, perSecond };
    current = Math.min(concurrencyMax, Math.ceil(current * growth));
    return current;
  };
}

/** Statements of flushes in flight: two that the server works at, and those on their way to it and back. */
export const flushesFor = ({ flushMs, roundTripMs }: { flushMs: number; roundTripMs: number }): number =>
  Math.min(8, Math.max(2, Math.round((2 * flushMs) / Math.max(1, flushMs - roundTripMs))));

export interface TuningDeps {
  settings: Pick<Settings, 'workerConcurrency' | 'databasePoolMax'>;
  slots: Slots;
  hands: Hands;
  flushes: Flushes;
}

/** A measurement lasts as long as this many items one after the other: before that a step shows nothing. */
const itemsOfALook = 3;

/** Fits the limits that are `auto` to what was measured, each second. */
export function createTuning({ settings, slots, hands, flushes }: TuningDeps) {
  const next = createConcurrency();
  let lastLook = performance.now();
  let lastBusy = performance.eventLoopUtilization();
  let flushMs = 0;

  function tryConcurrency(): void {
    const now = performance.now();
    if (now - lastLook < itemsOfALook * slots.itemMs) return;
    const busy = performance.eventLoopUtilization();
    const { ended, wanted } = slots.takeCounts();
    const perSecond = (ended / (now - lastLook)) * 1000;
    slots.resize(next({ perSecond, wanted, busy: performance.eventLoopUtilization(busy, lastBusy).utilization }));
    [lastLook, lastBusy] = [now, busy];
  }

  return {
    /** `roundTripMs`: the least of late; `chunksPerSecond`: what was settled. */
    adjust({ roundTripMs, chunksPerSecond }: { roundTripMs: number; chunksPerSecond: number }): void {
      if (settings.workerConcurrency === 'auto') tryConcurrency();
      flushMs = flushes.takeMeanMs() ?? flushMs;
      flushes.resize(Math.min(flushesFor({ flushMs, roundTripMs }), Math.max(2, settings.databasePoolMax - 2)));
      hands.fit({
        concurrency: slots.max,
        itemMs: slots.itemMs,
        hasRoom: slots.free > 0,
        chunksPerSecond,
        roundTripMs,
      });
    },
  };
}
