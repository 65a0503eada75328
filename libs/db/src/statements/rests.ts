import type { Rest } from './flush.ts';

/** What a row of `chunks` may hold: as many items as a chunk may have, and inputs that one claim can carry. */
const limits = { items: 10_000, srcs: 16, bytes: 4 * 1024 * 1024 } as const;

/** A rest as the flush statement takes it. */
export interface PlacedRest extends Rest {
  /** Number of the chunk that it is the rest of. */
  no: number;
  /** Rests of one group become one row; null: a row of its own. */
  group: number | null;
}

interface Row {
  members: PlacedRest[];
  items: number;
  srcs: Set<number>;
  bytes: number;
}

/**
 * Places the rests of one flush: those with the same `merge` share a row, as long as it stays within the limits, and
 * the wait that was drawn first. 10 000 items that failed three times, in chunks of 1 000, made 55 rows where a wait for
 * each item made 179, since what is scattered once is scattered more each time.
 */
export function placeRests(rests: readonly (Rest & { no: number })[]): PlacedRest[] {
  const open = new Map<string, Row>();
  const rows: Row[] = [];
  for (const rest of rests) {
    const placed: PlacedRest = { ...rest, group: null };
    const key = rest.merge;
    let row = key === undefined ? undefined : open.get(key);
    if (row === undefined || !fits(row, rest)) {
      row = { members: [], items: 0, srcs: new Set(), bytes: 0 };
      rows.push(row);
      if (key !== undefined) open.set(key, row);
    }
    row.members.push(placed);
    row.items += rest.size;
    row.bytes += rest.bytes ?? 0;
    for (const src of rest.srcs ?? []) row.srcs.add(src);
  }
  for (const [group, row] of rows.entries()) if (row.members.length > 1) share(row, group);
  return rows.flatMap((row) => row.members);
}

function fits(row: Row, rest: Rest): boolean {
  const srcs = (rest.srcs ?? []).filter((src) => !row.srcs.has(src)).length;
  return (
    row.items + rest.size <= limits.items &&
    row.srcs.size + srcs <= limits.srcs &&
    row.bytes + (rest.bytes ?? 0) <= limits.bytes
  );
}

/** All members carry the inputs of all, so that the row is right also where the fence keeps some of them out. */
function share(row: Row, group: number): void {
  const srcs = [...row.srcs].sort((a, b) => a - b);
  const { delayMs } = row.members[0]!;
  for (const member of row.members) Object.assign(member, { group, delayMs }, srcs.length > 0 && { srcs });
}
