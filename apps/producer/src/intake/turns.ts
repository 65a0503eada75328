import { setImmediate as nextTurn } from 'node:timers/promises';

/** Other requests are served after this long: a million lines take seconds. */
const sliceMs = 2;

export type Turns = ReturnType<typeof createTurns>;

/**
 * Whoever reads much in this process takes turns: one of them for 5 ms, then whatever else the loop has, then the next one.
 * So the loop stands still for one slice at a time, however many uploads there are.
 */
export function createTurns() {
  let last: Promise<unknown> = Promise.resolve();
  let started = performance.now();
  return {
    /** It is time for others. */
    isOver: (): boolean => performance.now() - started > sliceMs,
    /** Resolves when it is this one's turn again. */
    next(): Promise<void> {
      const mine = last.then(async () => {
        await nextTurn();
        started = performance.now();
      });
      last = mine;
      return mine;
    },
  };
}
