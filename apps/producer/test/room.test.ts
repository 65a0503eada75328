import type { Window } from '@bullpen/db';
import { idleFacts } from '@bullpen/testkit';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findRoom, windowMax, windowOf } from '../src/publish/room.ts';

const facts = { ...idleFacts, turnaroundMs: 100 };
const owner = (id: string, handlers = ['echo'], more: Partial<typeof facts> = {}) => ({
  id,
  handlers,
  facts: { ...facts, ...more },
  helpers: [],
});
const window = (partition: number, owned: Window['owner'], held = 0): Window => ({
  partition,
  epoch: 1,
  queued: held,
  running: 0,
  oldestMs: null,
  leased: true,
  owner: owned,
});

describe('windowOf', () => {
  it('is what a worker can hold and two more, or what it settles in half a second and on the way', () => {
    expect(windowOf({ chunksMax: 8, chunksPerSecond: 0, turnaroundMs: 0 })).toBe(10);
    expect(windowOf({ chunksMax: 8, chunksPerSecond: 100, turnaroundMs: 500 })).toBe(100);
  });
});

describe('findRoom', () => {
  it('gives equal workers equal shares, spread over their partitions', () => {
    const windows = [0, 1, 2, 3, 4, 5].map((partition) => window(partition, owner(partition < 3 ? 'a' : 'b')));
    const [room] = findRoom(windows);
    expect(room!.slots).toHaveLength(20);
    expect(room!.slots.filter((slot) => slot < 3)).toHaveLength(10);
    expect(new Set(room!.slots.slice(0, 6)).size).toBe(6);
  });

  it('gives nothing to a worker that has enough, and nothing to a partition without owner', () => {
    expect(findRoom([window(0, owner('a'), 10), window(1, null)])).toEqual([]);
    expect(findRoom([window(0, owner('a'), 10), window(1, owner('b'), 9)])).toEqual([
      { handlers: ['echo'], slots: [1], lines: [1], spare: [] },
    ]);
  });

  it('gives up to a window more for batches that have less than their share', () => {
    const full = [window(0, owner('a'), 5), window(1, owner('a'), 5)];
    expect(findRoom(full)).toEqual([]);
    expect(findRoom(full, true)).toMatchObject([{ slots: [], spare: [0, 1, 0, 1, 0, 1, 0, 1, 0, 1] }]);
    expect(findRoom([window(0, owner('a'), 12), window(1, owner('a'), 6)], true)).toMatchObject([
      { slots: [], spare: [1, 1] },
    ]);
  });

  it('gives an owner with helpers as much as so many workers, in turn and in all, also over one partition', () => {
    const big = { chunksPerSecond: 200, turnaroundMs: 500 };
    const helped = {
      ...owner('a', ['echo'], big),
      helpers: [
        { ...facts, ...big },
        { ...facts, ...big },
      ],
    };
    const [room] = findRoom([window(0, helped), window(1, owner('b', ['echo'], big))]);
    expect(room!.slots.slice(0, 8)).toEqual([0, 0, 0, 1, 0, 0, 0, 1]);
    const count = (no: number): number => room!.slots.filter((slot) => slot === no).length;
    expect([count(0), count(1)]).toEqual([3 * windowMax, windowMax]);
    const some = { ...helped, helpers: [facts] };
    expect(findRoom([window(0, some, 100)])[0]!.slots).toHaveLength(2 * windowMax - 100);
  });

  it('begins with who has most of its window free', () => {
    const [room] = findRoom([window(0, owner('a'), 7), window(1, owner('b'), 1), window(2, owner('c'), 4)]);
    expect(room!.slots.slice(0, 3)).toEqual([1, 2, 0]);
  });

  it('keeps workers with other handlers apart', () => {
    const rooms = findRoom([
      window(0, owner('a', ['echo', 'add'])),
      window(1, owner('b', ['add', 'echo'])),
      window(2, owner('c', ['echo'])),
    ]);
    expect(rooms.map((room) => [room.handlers.join(), new Set(room.slots)])).toEqual([
      ['add,echo', new Set([0, 1])],
      ['echo', new Set([2])],
    ]);
  });

  it('never passes a window, whatever stands there', () => {
    const cell = fc.record({
      held: fc.integer({ min: 0, max: 100 }),
      worker: fc.integer({ min: 0, max: 4 }),
      rate: fc.integer({ min: 0, max: 5000 }),
    });
    fc.assert(
      fc.property(fc.array(cell, { minLength: 1, maxLength: 24 }), (cells) => {
        const windows = cells.map(({ held, worker, rate }, no) =>
          window(no, worker === 0 ? null : owner(String(worker), ['echo'], { chunksPerSecond: rate }), held),
        );
        const given = new Map<number, number>();
        for (const slot of findRoom(windows).flatMap((room) => room.slots)) given.set(slot, (given.get(slot) ?? 0) + 1);
        for (const [no, n] of given) {
          expect(windows[no]!.owner).not.toBeNull();
          expect(n + windows[no]!.queued).toBeLessThanOrEqual(windowMax);
        }
      }),
    );
  });
});
