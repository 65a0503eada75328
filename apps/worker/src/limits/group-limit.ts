/** How many starts of a group in how many ms. */
export interface GroupRate {
  limit: number;
  perMs: number;
}

/**
 * How fast the items of each group may start, kept by the owner of a partition for the groups in it: `limit` in `perMs`, at even distances.
 * Nothing is known of what started before `openedAt`: each group waits for an interval from then on. A group whose time has
 * passed is forgotten; all wait equally long, so the oldest come first.
 */
export function createGroupLimit({ limit, perMs }: GroupRate, openedAt: number) {
  const everyMs = perMs / limit;
  const readyAt = new Map<string, number>();

  return {
    readyAt: (key: string, now: number): number => {
      const known = readyAt.get(key);
      return known !== undefined && known > now ? known : openedAt + everyMs;
    },
    /** An item of it starts. */
    started(key: string, now: number): void {
      for (const [old, at] of readyAt) {
        if (at > now) break;
        readyAt.delete(old);
      }
      readyAt.delete(key);
      readyAt.set(key, now + everyMs);
    },
    /** Groups that it knows. */
    size: (): number => readyAt.size,
  };
}

export type GroupLimit = ReturnType<typeof createGroupLimit>;

/** The part of a batch in a partition, for the owner of that under a lease. */
export interface LimitedLine {
  batch: number;
  line: number;
  lease: string;
  /** Since when. */
  leasedAt: number;
}

/** Batches that are kept; plans come and go meanwhile. */
const keptMax = 4000;

/**
 * The limits of groups that this worker keeps. Under a lease that is older than the batch nothing of it has started anywhere else, so no
 * group waits; under a later one the owner before may have started something a moment before it was lost.
 */
export function createGroupLimits() {
  const batches = new Map<number, Map<number, { lease: string; limit: GroupLimit }>>();
  /** When the last one was dropped that may be asked for again. */
  let droppedAt = -Infinity;

  function linesOf(batch: number) {
    const lines = batches.get(batch) ?? new Map<number, { lease: string; limit: GroupLimit }>();
    batches.delete(batch);
    batches.set(batch, lines);
    if (batches.size > keptMax) {
      batches.delete(batches.keys().next().value!);
      droppedAt = performance.now();
    }
    return lines;
  }

  /** `bornAt`: the batch came then or later. */
  return ({ batch, line, lease, leasedAt }: LimitedLine, rate: GroupRate, bornAt: number): GroupLimit => {
    const lines = linesOf(batch);
    const known = lines.get(line);
    if (known?.lease === lease) return known.limit;
    const since = Math.max(leasedAt, droppedAt);
    const limit = createGroupLimit(rate, since < bornAt ? -Infinity : since);
    lines.set(line, { lease, limit });
    return limit;
  };
}

export type GroupLimits = ReturnType<typeof createGroupLimits>;
