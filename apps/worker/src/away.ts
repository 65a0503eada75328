import type { Run } from './run.ts';
import type { Places } from './slots.ts';

/**
 * Items of a run that wait for slots of a limit inside their handler (`ctx.limit`): meanwhile others have their place, and their time
 * does not run.
 */
export function createAway(run: Run, slots: Places) {
  /** How long each had run, by position. */
  const away = new Map<number, number>();

  return {
    leave(at: number): void {
      if (!run.open.has(at)) return;
      away.set(at, performance.now() - run.startedAt[at]!);
      run.startedAt[at] = Infinity;
      slots.lend();
    },

    /** Resolves when there is a place for it; at once where it is not wanted any more. */
    async enter(at: number): Promise<void> {
      const context = run.open.get(at);
      const isOver = (): boolean => !away.has(at) || context!.signal.aborted;
      while (!isOver() && slots.free <= 0) await slots.wait(-1, isOver);
      const ranMs = away.get(at);
      if (ranMs === undefined) return slots.pass();
      away.delete(at);
      slots.take();
      run.startedAt[at] = performance.now() - ranMs;
      // Timeouts look at the oldest first.
      run.open.delete(at);
      run.open.set(at, context!);
    },

    /** It is over. Answers how long it ran, or null where it was away, and has no place to give back. */
    end: (at: number): number | null => (away.delete(at) ? null : performance.now() - run.startedAt[at]!),
  };
}
