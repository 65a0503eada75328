/** An item of a keyed batch. */
export interface PlacedItem {
  batch: string;
  /** Null: it is in no group. */
  key: string | null;
  index: number;
  /** Of its row in the line; among items of one row the index decides. */
  place: number;
  /** The attempt that was committed, and its id; null: it is not final. */
  attempt: number | null;
  run: string | null;
}

/** An attempt, as its handler has written it down; times are places in one sequence. */
export interface Run {
  id: string;
  batch: string;
  index: number;
  attempt: number;
  start: number;
  /** Null: it never ended. */
  end: number | null;
}

/** Groups of which an item is final though one that comes before it is not: a line for each. */
export function findGaps(items: readonly PlacedItem[]): string[] {
  return groupsOf(items).flatMap((group) => {
    const open = group.findIndex(({ run }) => run === null);
    const later = open < 0 ? -1 : group.findIndex(({ run }, at) => at > open && run !== null);
    if (later < 0) return [];
    return [`${nameOf(group[later]!)} is final, and ${nameOf(group[open]!)} is not`];
  });
}

/**
 * Items whose attempts did not come after all of the item before it in its group: a line for each.
 *
 * Of the attempts before the one that was committed it is not known which run of them counted: a worker that died may have
 * run one that another ran again. It is one that ended before the next attempt began; if the latest of these began too early, so did it.
 */
export function findInversions(items: readonly PlacedItem[], runs: readonly Run[]): string[] {
  const byId = new Map(runs.map((run) => [run.id, run]));
  const byItem = new Map<string, Run[]>();
  for (const run of runs) {
    const name = nameOf(run);
    const known = byItem.get(name);
    if (known === undefined) byItem.set(name, [run]);
    else known.push(run);
  }
  const faults: string[] = [];
  for (const group of groupsOf(items)) {
    let before: Run | null = null;
    for (const item of group) {
      if (item.run === null) continue;
      const last = byId.get(item.run);
      if (last === undefined || last.end === null) {
        faults.push(`${nameOf(item)}: nothing was seen of its attempt ${item.attempt}, ${item.run}`);
        continue;
      }
      const first = firstOf(last, byItem.get(nameOf(item))!);
      if (first === null) faults.push(`${nameOf(item)}: attempt ${last.attempt} began before one before it had ended`);
      else if (before !== null && first.start < before.end!)
        faults.push(`${nameOf(item)} began at ${first.start}, and ${nameOf(before)} ended at ${before.end}`);
      if (before === null || last.end > before.end!) before = last;
    }
  }
  return faults;
}

/** The first of the attempts that led to this one; null: there is one without a run that ended before the next. */
function firstOf(last: Run, runs: readonly Run[]): Run | null {
  let first = last;
  for (let attempt = last.attempt - 1; attempt > 0; attempt -= 1) {
    let latest: Run | null = null;
    for (const run of runs) {
      if (run.attempt !== attempt || run.end === null || run.end > first.start) continue;
      if (latest === null || run.start > latest.start) latest = run;
    }
    if (latest === null) return null;
    first = latest;
  }
  return first;
}

/** The items of each group, in the order in which they have to come. */
function groupsOf(items: readonly PlacedItem[]): PlacedItem[][] {
  const groups = new Map<string, PlacedItem[]>();
  for (const item of items) {
    if (item.key === null) continue;
    const name = `${item.batch} ${item.key}`;
    const known = groups.get(name);
    if (known === undefined) groups.set(name, [item]);
    else known.push(item);
  }
  for (const group of groups.values()) group.sort((a, b) => a.place - b.place || a.index - b.index);
  return [...groups.values()];
}

const nameOf = ({ batch, index }: { batch: string; index: number }): string => `${batch}:${index}`;
