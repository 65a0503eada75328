import type { Awaited, Statements } from '@bullpen/db';
import { HttpProblem } from './problem.ts';

/** Right after the accept a result is some ms away. What takes longer is looked for less often: each eighth of the youngest's age, each 50 ms at last. */
const soonMs = 2;
const laterMs = 50;
const lateBy = 1 / 8;
const waitersMax = 2000;
/** Items of one read of which it is also looked whether they were only acknowledged: in turn, for it takes a walk through what is open. */
const closelyMax = 100;

type Place = Pick<Awaited, 'batch' | 'index'>;

interface Waiter {
  item: Place;
  since: number;
  /** With the number of its batch, or null: it is not known to be final. */
  settle: (batch: number | null) => void;
}

export type ItemWatcher = ReturnType<typeof createItemWatcher>;

/** Waits for single items to be final, for all requests together: one read for all, and only while somebody waits. */
export function createItemWatcher(deps: {
  statements: Pick<Statements, 'settled'>;
  stopping?: AbortSignal | undefined;
}) {
  const waiters = new Set<Waiter>();
  let timer: NodeJS.Timeout | undefined;
  let dueAt = Infinity;
  let looking = false;
  let lookMs = 0;
  deps.stopping?.addEventListener('abort', () => waiters.forEach(({ settle }) => settle(null)), { once: true });

  async function look(): Promise<void> {
    const asked = [...waiters];
    dueAt = Infinity;
    if (asked.length === 0) return;
    looking = true;
    const began = performance.now();
    // Those that were looked at closely come last the next time.
    for (const waiter of asked.slice(0, closelyMax)) if (waiters.delete(waiter)) waiters.add(waiter);
    try {
      const settled = await deps.statements.settled(
        asked.map(({ item }, at) => ({ ...item, closely: at < closelyMax })),
      );
      for (const { at, batch } of settled) asked[at]!.settle(batch);
    } catch {
      // They are stored: who waits goes on, and is told where its item is when its time is over.
    }
    looking = false;
    lookMs = performance.now() - began;
    lookForYoungest();
  }

  /** The next look, for one who has waited this long; never later than the one that is due already. */
  function lookFor(waitedMs: number): void {
    if (looking) return;
    const now = performance.now();
    const at = now + Math.min(laterMs, Math.max(soonMs, lookMs, waitedMs * lateBy));
    if (at >= dueAt) return;
    clearTimeout(timer);
    dueAt = at;
    timer = setTimeout(() => void look(), at - now);
  }

  function lookForYoungest(): void {
    if (waiters.size > 0) lookFor(performance.now() - Math.max(...[...waiters].map(({ since }) => since)));
  }

  return {
    /** The number of the item's batch as soon as the item is final; null after `ms`, when the client has left, or when the process stops. */
    wait(item: Place, ms: number, left: AbortSignal): Promise<number | null> {
      if (waiters.size >= waitersMax)
        throw new HttpProblem('busy', 'Too many requests wait for single items', { headers: { 'Retry-After': '1' } });
      if (left.aborted || deps.stopping?.aborted) return Promise.resolve(null);
      return new Promise((resolve) => {
        const waiter: Waiter = {
          item,
          since: performance.now(),
          settle(batch) {
            waiters.delete(waiter);
            clearTimeout(expiry);
            left.removeEventListener('abort', onLeft);
            resolve(batch);
          },
        };
        const onLeft = (): void => waiter.settle(null);
        const expiry = setTimeout(() => waiter.settle(null), ms);
        left.addEventListener('abort', onLeft);
        waiters.add(waiter);
        lookFor(0);
      });
    },
  };
}
