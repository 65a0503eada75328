import { ItemContext } from '@bullpen/handlers';

/** How often the open items are looked at. */
const lookMs = 50;

/** A run of a chunk with items that wait for their promise. */
export interface Timed {
  batch: number;
  timeoutMs: number;
  /** Open items by position, in the order in which they were started. */
  open: Map<number, ItemContext>;
  /** When each was started; Infinity while its time does not run. */
  startedAt: Float64Array;
  /** Settles an open item as timed out. */
  expire: (at: number) => void;
}

/**
 * Ends items that take too long: one timer for all runs, which looks at the oldest item of each. An item costs an entry
 * in a map, no timer, no promise and no controller.
 */
export function createTimeouts() {
  const runs = new Set<Timed>();
  let timer: NodeJS.Timeout | null = null;

  function look(): void {
    const now = performance.now();
    for (const run of runs) {
      for (const at of run.open.keys()) {
        if (run.startedAt[at] === Infinity) continue;
        if (now - run.startedAt[at]! < run.timeoutMs) break;
        run.expire(at);
      }
    }
  }

  return {
    watch(run: Timed): void {
      runs.add(run);
      timer ??= setInterval(look, lookMs);
    },
    unwatch(run: Timed): void {
      runs.delete(run);
      if (runs.size > 0 || timer === null) return;
      clearInterval(timer);
      timer = null;
    },
    /** The batch was cancelled: tells it to what is open of it, and lets it go on. */
    cancel(batch: number, reason: Error): void {
      for (const run of runs)
        if (run.batch === batch) for (const context of run.open.values()) ItemContext.end(context, reason);
    },
  };
}

export type Timeouts = ReturnType<typeof createTimeouts>;

/** What an attempt that took too long fails with; it counts as an attempt like any other error. */
export class TimeoutError extends Error {
  readonly code = 'timeout';
  constructor(timeoutMs: number) {
    super(`took longer than timeoutMs allows (${timeoutMs} ms)`);
    this.name = 'TimeoutError';
  }
}
