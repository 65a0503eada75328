import { setImmediate as nextTurn } from 'node:timers/promises';

/** A loop of synchronous items gives way after this long, so that heartbeats and replies get through; and while something waits for its time. */
const turnMs = { usual: 20, hurried: 5 } as const;
let timed = 0;
/** Items between two looks at the clock; a look costs 40 ns, an item may cost 3 µs or 30 ms. */
const strideMax = 256;

/** When this process last gave way, over all chunks. */
let turnStarted = 0;

/** So many more wait for a time at which they should start, or fewer: a rate is kept by starts that are late by little. */
export const timeMatters = (by: 1 | -1): void => void (timed += by);

/** The clock of one run of a chunk. */
export function createTurn(sliceMs: number) {
  let started = performance.now();
  let resumedAt = started;
  let workMs = 0;
  let stride = 1;
  let left = 1;
  let lastLook = started;

  return {
    /** Every few items: so many that a look comes about each millisecond. */
    isTimeToLook(): boolean {
      left -= 1;
      if (left > 0) return false;
      const now = performance.now();
      stride = now - lastLook < 1 ? Math.min(strideMax, stride * 2) : Math.max(1, stride >> 1);
      left = stride;
      lastLook = now;
      return true;
    },
    /** Items until the next look, this one included. */
    untilLook: (): number => left,
    /** The first item starts: a slice of a chunk that waited for a slot until now begins here. */
    startSlice: (): void => void (started = performance.now()),
    sliceIsOver: (): boolean => performance.now() - started >= sliceMs,
    sliceLeftMs: (): number => started + sliceMs - performance.now(),
    hasRunLong: (): boolean => performance.now() - turnStarted >= (timed > 0 ? turnMs.hurried : turnMs.usual),
    /** Lets others work. */
    yield(): Promise<void> {
      return this.wait(nextTurn());
    },
    /** Waits without counting the time as work. */
    async wait(forWhat: Promise<void>): Promise<void> {
      workMs += performance.now() - resumedAt;
      await forWhat;
      const now = performance.now();
      turnStarted = now;
      resumedAt = now;
      lastLook = now;
    },
    workMs: (): number => workMs + performance.now() - resumedAt,
  };
}

export type Turn = ReturnType<typeof createTurn>;
