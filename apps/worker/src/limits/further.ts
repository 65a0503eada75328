import type { Pool } from './pool.ts';
import { createWaiting } from './waiting.ts';

export interface FurtherDeps {
  /** Nobody starts anything before. */
  pausedUntil: () => number;
  /** There is a rate. */
  isRated: () => boolean;
  /** The starts of so many slots each. */
  poolOf: (slots: number) => Pool;
}

/** Slots for what is called from inside handlers: those that wait for as many share one pool. */
export function createFurther({ pausedUntil, isRated, poolOf }: FurtherDeps) {
  const bySlots = new Map<number, ReturnType<typeof createInside>>();

  function createInside(slots: number) {
    const inside = {
      count: 0,
      waiting: createWaiting((now) => {
        if (now < pausedUntil()) return pausedUntil();
        if (!isRated()) return -Infinity;
        poolOf(slots).want(inside.count, now);
        return poolOf(slots).nextAt(now);
      }),
      take: (now: number): boolean =>
        now >= pausedUntil() && (!isRated() || poolOf(slots).take(now, 1, () => inside.count) > 0),
    };
    return inside;
  }

  return {
    /** Takes n slots; rejects when `signal` aborts. */
    async take(n: number, signal: AbortSignal): Promise<void> {
      let inside = bySlots.get(n);
      if (inside === undefined) bySlots.set(n, (inside = createInside(n)));
      const { waiting } = inside;
      const hurry = (): void => void waiting.poke();
      signal.addEventListener('abort', hurry);
      inside.count += 1;
      try {
        while (!signal.aborted && !inside.take(performance.now())) await waiting.wait(0, () => signal.aborted);
        signal.throwIfAborted();
      } finally {
        inside.count -= 1;
        signal.removeEventListener('abort', hurry);
        waiting.poke();
      }
    },
    poke(): void {
      for (const { waiting } of bySlots.values()) waiting.poke();
    },
  };
}
