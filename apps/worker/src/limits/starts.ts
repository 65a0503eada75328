/** Starts at even distances, by this process's clock in ms. */
export interface Range {
  at: number;
  everyMs: number;
  left: number;
  /** They are good for so long; 0: as starts at such distances are. */
  looseMs: number;
}

/** Starts this close together come several in a turn of the loop, and may be late by one. */
const denseMs = 5;
const lateMaxMs = { dense: 30, sparse: 12 } as const;
/** Later than this none serves. */
const lateUseMs = 1000;

const lateMaxOf = ({ everyMs, looseMs }: Range): number =>
  looseMs > 0 ? looseMs : everyMs < denseMs ? lateMaxMs.dense : lateMaxMs.sparse;

/**
 * The starts that were leased, in order. Each serves once, at its time or up to 12 ms later (30 ms where they are less than 5 ms
 * apart): so the items that start in any second are those of the starts of at most 1.012 s (1.03), and since these stand 1.015
 * intervals apart, no more than the limit (1.5 % more).
 *
 * One that is later than that serves all the same where no other is there. What it was too late, an interval at most, is a debt, by
 * which all starts that are leased after it are put off, whoever gets them. So a second that begins with it ends before the
 * one that would be too many, and a busy loop loses what it was late, and not each of its starts.
 */
export function createStarts() {
  let ranges: Range[] = [];
  let lastLost: Range | null = null;
  let debtMs = 0;
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
  }

  function skip(range: Range, count: number): void {
    range.left -= count;
    range.at += count * range.everyMs;
    if (range.left <= 0) ranges.shift();
  }

  /** What the last one that was lost costs if it serves; null: it is of no use. */
  function costOfLate(now: number): number | null {
    if (lastLost === null || now - lastLost.at > lateUseMs) return null;
    return Math.min(now - lastLost.at - lateMaxMs.sparse, lastLost.everyMs);
  }

  return {
    add: (range: Range): void => void ranges.push({ ...range }),

    /** How many may start now: one, or up to `most` of those that are loose. */
    take(now: number, most: number): number {
      drop(now);
      const first = ranges[0];
      if (first !== undefined && first.at <= now) {
        const count = first.everyMs > 0 ? 1 : Math.min(most, first.left);
        lastLost = null;
        skip(first, count);
        return count;
      }
      const cost = costOfLate(now);
      if (cost === null) return 0;
      lastLost = null;
      [debtMs, lost] = [debtMs + cost, lost - 1];
      return 1;
    },

    /** By how much what is leased next has to be put off, in ms, since the last time. */
    takeDebt(): number {
      const owed = debtMs;
      debtMs = 0;
      return owed;
    },

    /** When there is one; Infinity: none is left. */
    nextAt(now: number): number {
      drop(now);
      return costOfLate(now) === null ? (ranges[0]?.at ?? Infinity) : now;
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
    },
  };
}
