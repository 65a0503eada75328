/** How many starts of a group in how many ms. */
export interface GroupRate {
  limit: number;
  perMs: number;
}

/** When each of some keys may start again: `everyMs` apart. What has passed is forgotten; all wait equally long, so the oldest come first. */
function createPace(everyMs: number) {
  const next = new Map<string, number>();
  return {
    readyAt: (key: string): number => next.get(key) ?? -Infinity,
    started(key: string, now: number): void {
      for (const [old, at] of next) {
        if (at > now) break;
        next.delete(old);
      }
      next.delete(key);
      next.set(key, now + everyMs);
    },
    size: (): number => next.size,
  };
}

/**
 * How fast the items of each group may start, kept by the owner of a partition for the groups in it: `limit` in `perMs`, at even distances.
 * Nothing is known of what started before `openedAt`: each group waits for an interval from then on.
 */
export function createGroupLimit({ limit, perMs }: GroupRate, openedAt: number) {
  const everyMs = perMs / limit;
  const pace = createPace(everyMs);
  let elsewhere: ReturnType<typeof createPace> | undefined;

  return {
    /** The pace of items that were started here and then wait for a process: what waited together must not start together. */
    elsewhere: () => (elsewhere ??= createPace(everyMs)),
    readyAt: (key: string, now: number): number => {
      const known = pace.readyAt(key);
      return known > now ? known : openedAt + everyMs;
    },
    /** An item of it starts. */
    started: (key: string, now: number): void => pace.started(key, now),
    /** Groups that it knows. */
    size: (): number => pace.size(),
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
