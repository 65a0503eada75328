import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planOf } from '../src/gaps/fill.ts';
import { createCover, intersect, type Range, type Ranges, sizeOf, subtract, union } from '../src/gaps/ranges.ts';

const numbersOf = (ranges: readonly Range[]): number[] =>
  ranges.flatMap(([from, end]) => Array.from({ length: end - from }, (_, at) => from + at));

/** In order, not empty, neither overlapping nor touching: two sets of the same numbers are then the same list. */
const isNormal = (ranges: Ranges): boolean =>
  ranges.every(([from, end], at) => from < end && (at === 0 || ranges[at - 1]![1] < from));

const someRanges = fc.array(
  fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 12 })).map(([from, size]): Range => [from, from + size]),
);

function coverOf(ranges: readonly Range[]): ReturnType<ReturnType<typeof createCover>['read']> {
  const cover = createCover();
  for (const [from, end] of ranges) cover.add(from, end);
  return cover.read();
}

const ordered = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b);

describe('ranges', () => {
  test('hold the numbers that a plain set holds, and those that came twice', () => {
    fc.assert(
      fc.property(someRanges, someRanges, (early, late) => {
        const cover = createCover();
        for (const [from, end] of early) cover.add(from, end);
        // Reading puts in order what came so far: what comes later meets it.
        cover.read();
        cover.addAll(late);
        const { once, twice } = cover.read();
        const all = numbersOf([...early, ...late]);
        const seen = new Set(all);
        const again = [...seen].filter((number) => all.filter((each) => each === number).length > 1);
        expect(numbersOf(once)).toEqual(ordered(seen));
        expect(numbersOf(twice)).toEqual(ordered(again));
        expect([once, twice].every(isNormal)).toBe(true);
        expect(sizeOf(once)).toBe(seen.size);
      }),
    );
  });

  test('are united, intersected and subtracted as sets are', () => {
    fc.assert(
      fc.property(someRanges, someRanges, (first, second) => {
        const [a, b] = [coverOf(first).once, coverOf(second).once];
        const [inA, inB] = [new Set(numbersOf(a)), new Set(numbersOf(b))];
        expect(numbersOf(union(a, b))).toEqual(ordered(new Set([...inA, ...inB])));
        expect(numbersOf(intersect(a, b))).toEqual(numbersOf(a).filter((number) => inB.has(number)));
        expect(numbersOf(subtract(a, b))).toEqual(numbersOf(a).filter((number) => !inB.has(number)));
        expect([union(a, b), intersect(a, b), subtract(a, b)].every(isNormal)).toBe(true);
      }),
    );
  });

  test('that come as 300 000 numbers in no order are few in the end', () => {
    const cover = createCover();
    const count = 300_007;
    for (let at = 0; at < count; at += 1) cover.add((at * 7919) % count, ((at * 7919) % count) + 1);
    cover.add(5, 6);
    expect(cover.read()).toEqual({ once: [[0, count]], twice: [[5, 6]] });
  });

  test('go up to the last number that is exact', () => {
    const last = Number.MAX_SAFE_INTEGER;
    const { once } = coverOf([[last - 3, last + 1]]);
    expect(subtract(once, [[last - 1, last]])).toEqual([
      [last - 3, last - 1],
      [last, last + 1],
    ]);
  });
});

describe('the plan for what is missing', () => {
  test('takes long ranges by count and short ones a line each', () => {
    const missing: Ranges = [
      [0, 999],
      [2000, 3000],
      [5000, 5001],
    ];
    expect(planOf(missing)).toEqual({
      counted: [[2000, 3000]],
      lines: [
        [0, 999],
        [5000, 5001],
      ],
      left: 0,
    });
  });

  test('cuts what is longer than a batch, and leaves what is too much for one run', () => {
    const { counted, left } = planOf([[5, 25_000_000]], 30_000_000);
    expect(counted).toEqual([
      [5, 10_000_005],
      [10_000_005, 20_000_005],
      [20_000_005, 25_000_000],
    ]);
    expect(left).toBe(0);
    const endless = planOf([[0, Number.MAX_SAFE_INTEGER]]);
    expect(endless.counted).toEqual([[0, 10_000_000]]);
    expect(endless.left).toBe(Number.MAX_SAFE_INTEGER - 10_000_000);
    expect(planOf([[0, 5000], [9000, 20_000]], 7000).counted).toEqual([[0, 5000], [9000, 11_000]]); // prettier-ignore
  });

  test('covers exactly what is missing, once, but for what is left', () => {
    const spread = fc.array(fc.tuple(fc.nat(1e9), fc.constantFrom(1, 7, 999, 1000, 70_000, 12_000_000)));
    fc.assert(
      fc.property(spread, (some) => {
        const missing = coverOf(some.map(([from, size]) => [from, from + size])).once;
        const { counted, lines, left } = planOf(missing);
        const { once, twice } = coverOf([...counted, ...lines]);
        expect(twice).toEqual([]);
        expect(subtract(once, missing)).toEqual([]);
        expect(sizeOf(subtract(missing, once))).toBe(left);
      }),
    );
  });
});
