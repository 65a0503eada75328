/** Starts at even distances, by this process's clock in ms. */
export interface Range {
  at: number;
  everyMs: number;
  left: number;
}

/** Starts this close together come several in a turn of the loop, and may be late by one. */
const denseMs = 5;
const lateMaxMs = { dense: 30, sparse: 12 } as const;
/** A start that is later than that is lost, unless nothing else is there, and it is not later than this. */
const lateUseMs = 200;

const lateMaxOf = ({ everyMs }: Range): number => (everyMs < denseMs ? lateMaxMs.dense : lateMaxMs.sparse);

/**
 * The starts that were leased, in order. Each serves once, at its time or up to 12 ms later (30 ms where they are less than 5 ms
 * apart): so the items that start in any second are those of the starts of at most 1.012 s (1.03), and since these stand 1.015
 * intervals apart, no more than the limit (1.5 % more). The next starts are others', on other workers, so a late start cannot simply push them.
 *
 * A loop that is busy would lose one after another, and its items would never get their turn. So one that is too late
 * serves all the same where nothing else does, for the price of the next: half of them at least are of use.
 */
export function createStarts() {
  let ranges: Range[] = [];
  let lastLost: Range | null = null;
  let isOwing = false;
  let lost = 0;

  function drop(now: number): void {
    for (let range = ranges[0]; range !== undefined; range = ranges[0]) {
      const late = now - range.at - lateMaxOf(range);
      if (late <= 0) break;
      const gone = range.everyMs === 0 ? range.left : Math.min(range.left, Math.ceil(late / range.everyMs));
      lost += gone;
      if (range.everyMs >= denseMs) lastLost = { ...range, at: range.at + (gone - 1) * range.everyMs };
      skip(range, gone);
    }
    if (isOwing && ranges.length > 0) {
      isOwing = false;
      skip(ranges[0]!, 1);
    }
  }

  function skip(range: Range, count: number): void {
    range.left -= count;
    range.at += count * range.everyMs;
    if (range.left <= 0) ranges.shift();
  }

  const mayBeLate = (now: number): boolean => lastLost !== null && !isOwing && now - lastLost.at <= lateUseMs;

  return {
    add: (range: Range): void => void ranges.push({ ...range }),

    /** One, if there is one for now. */
    take(now: number): boolean {
      drop(now);
      const first = ranges[0];
      if (first !== undefined && first.at <= now) {
        lastLost = null;
        skip(first, 1);
        return true;
      }
      if (!mayBeLate(now)) return false;
      lastLost = null;
      isOwing = true;
      return true;
    },

    /** When there is one; Infinity: none is left. */
    nextAt(now: number): number {
      drop(now);
      return mayBeLate(now) ? now : (ranges[0]?.at ?? Infinity);
    },

    /** Those that are left. */
    count(now: number): number {
      drop(now);
      return ranges.reduce((sum, { left }) => sum + left, 0);
    },

    /** How many have passed unused, since the last time. */
    takeLost(): number {
      const count = lost;
      lost = 0;
      return count;
    },

    clear(): void {
      ranges = [];
      lastLost = null;
      isOwing = false;
    },
  };
}
