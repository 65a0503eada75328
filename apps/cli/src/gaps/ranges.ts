/** Whole numbers from `from` on, `end` not among them: up to 2^53, where the last one is 2^53 − 1. */
export type Range = readonly [from: number, end: number];

/** A set of whole numbers: ranges in order, which neither overlap nor touch. What it takes goes by the ranges, not by the numbers. */
export type Ranges = readonly Range[];

export const sizeOf = (ranges: Ranges): number => ranges.reduce((sum, [from, end]) => sum + (end - from), 0);

export const union = (a: Ranges, b: Ranges): Ranges => combine(a, b, (inA, inB) => inA || inB);
export const intersect = (a: Ranges, b: Ranges): Ranges => combine(a, b, (inA, inB) => inA && inB);
export const subtract = (a: Ranges, b: Ranges): Ranges => combine(a, b, (inA, inB) => inA && !inB);

/** The numbers that `keep` says yes to, in one walk over the edges of both. */
function combine(a: Ranges, b: Ranges, keep: (inA: boolean, inB: boolean) => boolean): Ranges {
  const kept: Range[] = [];
  let from: number | null = null;
  for (let [i, j] = [0, 0]; ;) {
    const [nextA, nextB] = [edgeOf(a, i), edgeOf(b, j)];
    const at = Math.min(nextA, nextB);
    if (at === Infinity) return kept;
    if (nextA === at) i += 1;
    if (nextB === at) j += 1;
    // Past an odd number of edges one is within a range.
    const isIn = keep(i % 2 === 1, j % 2 === 1);
    if (isIn) from ??= at;
    else if (from !== null) {
      kept.push([from, at]);
      from = null;
    }
  }
}

const edgeOf = (ranges: Ranges, nth: number): number => ranges[Math.floor(nth / 2)]?.[nth % 2] ?? Infinity;

/** Ranges as they come, before they are put in order. 65 536 of them are some MB. */
const pendingMax = 65_536;

export type Cover = ReturnType<typeof createCover>;

/** Takes ranges in any order, and tells which numbers came, and which came more than once. */
export function createCover() {
  let [once, twice]: [Ranges, Ranges] = [[], []];
  let pending: [from: number, end: number][] = [];

  function settle(): void {
    const { all, again } = inOrder(pending);
    pending = [];
    twice = union(union(twice, again), intersect(once, all));
    once = union(once, all);
  }

  function add(from: number, end: number): void {
    const last = pending.at(-1);
    // Results come in index order: mostly this is the next number.
    if (last?.[1] === from) last[1] = end;
    else if (pending.push([from, end]) >= pendingMax) settle();
  }

  return {
    add,
    addAll(ranges: Ranges): void {
      for (const [from, end] of ranges) add(from, end);
    },
    /** Numbers that came, and those of them that came more than once. */
    read(): { once: Ranges; twice: Ranges } {
      settle();
      return { once, twice };
    },
  };
}

/** All numbers of these ranges, and those that are in more than one. */
function inOrder(ranges: Range[]): { all: Ranges; again: Ranges } {
  const [all, again]: [number, number][][] = [[], []];
  for (const [from, end] of ranges.sort((a, b) => a[0] - b[0])) {
    const reach = all!.at(-1)?.[1] ?? -1;
    if (from < reach) extend(again!, from, Math.min(end, reach));
    extend(all!, from, end);
  }
  return { all: all!, again: again! };
}

/** Adds a range to a set of which none begins after it. */
function extend(ranges: [number, number][], from: number, end: number): void {
  const last = ranges.at(-1);
  if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], end);
  else ranges.push([from, end]);
}
