import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

/** Other requests are served after this long: a million lines take seconds. */
const sliceMs = 2;
/** While others are served, so long after each slice; and so long a request counts as one that is being served. */
const restMs = 4;
const servedMs = 100;

export type Turns = ReturnType<typeof createTurns>;

/**
 * Whoever reads much in this process takes turns: one of them for 2 ms, then whatever else the loop has, then the next one. So the
 * loop stands still for one slice at a time, however many uploads there are. A request passes through the loop some five
 * times; while there are any, uploads rest between slices, for else each passage would wait for one.
 */
export function createTurns() {
  const served = new Map<symbol, number>();
  let last: Promise<unknown> = Promise.resolve();
  let started = performance.now();

  function othersAreServed(): boolean {
    const now = performance.now();
    for (const [request, since] of served) {
      if (now - since < servedMs) return true;
      served.delete(request);
    }
    return false;
  }

  return {
    /** It is time for others. */
    isOver: (): boolean => performance.now() - started > sliceMs,
    /** Resolves when it is this one's turn again. */
    next(): Promise<void> {
      const mine = last.then(async () => {
        await (othersAreServed() ? sleep(restMs) : nextTurn());
        started = performance.now();
      });
      last = mine;
      return mine;
    },
    /** A request has come; the answer is called when it is through. */
    serve(): () => void {
      const request = Symbol('request');
      served.set(request, performance.now());
      return () => void served.delete(request);
    },
  };
}
