/**
 * How fast the items of each group may start, kept by the owner of a partition for the groups in it: `limit` in `perMs`, at even distances.
 * Who has taken a partition does not know what started before: every group waits for one interval first. `openedAt`: when it
 * was taken. A group whose time has passed is forgotten; all wait equally long, so the oldest come first.
 */
export function createGroupLimit({ limit, perMs }: { limit: number; perMs: number }, openedAt: number) {
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

/** Those of the lines of a batch: what is known of one is good under one lease of its partition. */
export function createGroupLimits(rate: { limit: number; perMs: number }) {
  const lines = new Map<number, { lease: string; limit: GroupLimit }>();
  return (line: number, lease: string): GroupLimit => {
    let known = lines.get(line);
    if (known?.lease !== lease) lines.set(line, (known = { lease, limit: createGroupLimit(rate, performance.now()) }));
    return known.limit;
  };
}
