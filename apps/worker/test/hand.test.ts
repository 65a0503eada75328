import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createHand, type Item } from '../src/lines/hand.ts';
import { Queue } from '../src/lines/queue.ts';

interface Row {
  size: number;
  next: number;
  dueAt: Map<number, number>;
  first: number;
}

/** What the handler does with the attempts of an item, one after the other; the last one is final. */
type Script = readonly ('return' | 'promise' | 'retry' | 'promise-retry')[];
interface Given {
  keys: readonly (number | null)[];
  scripts: readonly Script[];
  /** Items of each row. */
  sizes: readonly number[];
  /** Which of the open promises settles next. */
  picks: readonly number[];
}

const givenArb: fc.Arbitrary<Given> = fc.integer({ min: 1, max: 60 }).chain((n) =>
  fc.record({
    keys: fc.array(fc.option(fc.integer({ min: 0, max: 5 }), { freq: 8 }), { minLength: n, maxLength: n }),
    scripts: fc.array(
      fc
        .tuple(
          fc.array(fc.constantFrom('retry' as const, 'promise-retry' as const), { maxLength: 2 }),
          fc.constantFrom('return' as const, 'promise' as const),
        )
        .map(([again, last]): Script => [...again, last]),
      { minLength: n, maxLength: n },
    ),
    sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: n, maxLength: n }),
    picks: fc.array(fc.nat(), { minLength: 1, maxLength: 40 }),
  }),
);

/** Plays a line through a hand, and answers what was started and what became final, in order. */
function play({ keys, scripts, sizes, picks }: Given, rules: { groupMax: number; ordered: boolean }) {
  const keyOf = (row: Row, at: number): string | null => keys[row.first + at]?.toString() ?? null;
  const hand = createHand<Row>({ keyOf, ...rules });
  const rows: Row[] = [];
  for (let first = 0; first < keys.length; first += rows.at(-1)!.size)
    rows.push({ first, size: Math.min(sizes[rows.length]!, keys.length - first), next: 0, dueAt: new Map() });
  const attempts = keys.map(() => 0);
  const dueAt = keys.map(() => 0);
  const open: Item<Row>[] = [];
  const finals: number[] = [];
  const running = new Map<number, number>();
  let mostRunning = 0;
  let [now, added, pick] = [0, 0, 0];

  const again = (item: Item<Row>): void => {
    const index = item.row.first + item.at;
    dueAt[index] = now + 1000;
    hand.retry(item, dueAt[index], now);
  };
  function start(item: Item<Row>): void {
    const index = item.row.first + item.at;
    expect(dueAt[index]).toBeLessThanOrEqual(now);
    const step = scripts[index]![attempts[index]!]!;
    attempts[index]! += 1;
    if (step === 'return') finals.push(index);
    else if (step === 'retry') again(item);
    else {
      hand.hold(item);
      open.push(item);
      const key = keys[index];
      if (key === null || key === undefined) return;
      running.set(key, (running.get(key) ?? 0) + 1);
      mostRunning = Math.max(mostRunning, running.get(key)!);
    }
  }
  function settle(item: Item<Row>): void {
    const index = item.row.first + item.at;
    const key = keys[index];
    if (key !== null && key !== undefined) running.set(key, running.get(key)! - 1);
    hand.free(item, now);
    if (scripts[index]![attempts[index]! - 1] === 'promise-retry') again(item);
    else finals.push(index);
  }

  for (let steps = 0; finals.length < keys.length && steps < 10_000; steps += 1) {
    for (let item = hand.take(now); item !== null; item = hand.take(now)) start(item);
    // Nothing may start: whatever is not final runs, waits for its time, or for one of its group that does.
    const isOpen = new Set(open.map(({ row, at }) => row.first + at));
    for (const index of Array.from({ length: Math.min(added, rows.length) }, (_, i) => rows[i]!).flatMap((row) =>
      Array.from({ length: row.size }, (_, at) => row.first + at),
    )) {
      if (finals.includes(index) || isOpen.has(index) || dueAt[index]! > now) continue;
      const group = keys.flatMap((key, other) =>
        key !== null && key === keys[index] && other !== index && !finals.includes(other) ? [other] : [],
      );
      const held = group.filter(
        (other) => isOpen.has(other) || (rules.ordered && other < index && dueAt[other]! > now),
      );
      expect(held.length).toBeGreaterThanOrEqual(Math.min(rules.groupMax, 1));
    }
    if (added < rows.length && (picks[pick % picks.length]! % 2 === 0 || open.length === 0)) hand.add(rows[added++]!);
    else if (open.length > 0) settle(open.splice(picks[pick % picks.length]! % open.length, 1)[0]!);
    else now = Math.max(now, hand.dueAt());
    pick += 1;
  }
  return { finals, mostRunning, hand };
}

describe('the hand of a line', () => {
  it('ends the items of a group one after the other in their order, whatever is slow, fails, or is claimed when', () => {
    fc.assert(
      fc.property(givenArb, (given) => {
        const { finals, mostRunning, hand } = play(given, { groupMax: 1, ordered: true });
        expect(finals).toHaveLength(given.keys.length);
        expect(mostRunning).toBeLessThanOrEqual(1);
        for (const key of new Set(given.keys)) {
          if (key === null) continue;
          const mine = finals.filter((index) => given.keys[index] === key);
          expect(mine).toEqual([...mine].sort((a, b) => a - b));
        }
        expect([hand.unseen(), hand.waiting(), hand.isReady()]).toEqual([0, 0, false]);
      }),
      { numRuns: 300 },
    );
  });

  it('runs so many of a group at once without order', () => {
    fc.assert(
      fc.property(givenArb, fc.integer({ min: 1, max: 3 }), (given, groupMax) => {
        const { finals, mostRunning } = play(given, { groupMax, ordered: false });
        expect([...finals].sort((a, b) => a - b)).toEqual(given.keys.map((_, index) => index));
        expect(mostRunning).toBeLessThanOrEqual(groupMax);
      }),
      { numRuns: 200 },
    );
  });

  it('waits for nobody where groups have neither order nor a limit', () => {
    fc.assert(
      fc.property(givenArb, (given) => {
        expect(play(given, { groupMax: Infinity, ordered: false }).finals).toHaveLength(given.keys.length);
      }),
    );
  });

  it('holds back by its pace a group, and nobody else', () => {
    const started: [string, number][] = [];
    const last = new Map<string, number>();
    const hand = createHand<Row>({
      keyOf: (_, at) => (at % 2 === 0 ? 'fast' : 'slow'),
      groupMax: Infinity,
      ordered: false,
      pace: {
        readyAt: (key) => (key === 'fast' ? 0 : (last.get(key) ?? -100) + 100),
        started: (key, now) => (last.set(key, now), started.push([key, now])),
      },
    });
    hand.add({ first: 0, size: 8, next: 0, dueAt: new Map() });
    for (let now = 0; now <= 300; now += 50) while (hand.take(now) !== null) continue;
    expect(started.filter(([key]) => key === 'fast').map(([, at]) => at)).toEqual([0, 0, 0, 0]);
    expect(started.filter(([key]) => key === 'slow').map(([, at]) => at)).toEqual([0, 100, 200, 300]);
  });

  it('does not start an item that came with a wait, nor those of its group after it, before its time', () => {
    const hand = createHand<Row>({ keyOf: (_, at) => `${at % 2}`, groupMax: 1, ordered: true });
    hand.add({ first: 0, size: 4, next: 0, dueAt: new Map([[0, 500]]) });
    const order: number[] = [];
    for (const now of [0, 499, 500]) for (let item = hand.take(now); item !== null; item = hand.take(now)) order.push(item.at); // prettier-ignore
    expect(order).toEqual([1, 3, 0, 2]);
  });
});

describe('a queue', () => {
  it('is what a list is', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('push', 'push', 'push', 'shift', 'shift', 'unshift'), { maxLength: 4000 }),
        (steps) => {
          const [queue, list]: [Queue<number>, number[]] = [new Queue(), []];
          for (const [n, step] of steps.entries()) {
            if (step === 'shift') expect(queue.shift()).toBe(list.shift());
            else for (const each of [queue, list]) each[step](n);
            expect([queue.size, queue.first()]).toEqual([list.length, list[0]]);
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});
