import type { Awaited, Statements } from '@bullpen/db';
import { HttpProblem } from './problem.ts';

/** Right after the accept a result is a few ms away; what takes longer is looked for less often. */
const soonMs = 5;
const laterMs = 50;
const soonForMs = 500;
const waitersMax = 2000;
/** Items of one read of which it is also looked whether they were only acknowledged: in turn, for it takes a walk through what is open. */
const closelyMax = 100;

type Place = Pick<Awaited, 'batch' | 'index'>;

interface Waiter {
  item: Place;
  since: number;
  settle: (settled: boolean) => void;
}

export type ItemWatcher = ReturnType<typeof createItemWatcher>;

/** Waits for single items to be final, for all requests together: one read for all, and only while somebody waits. */
export function createItemWatcher(deps: {
  statements: Pick<Statements, 'settled'>;
  stopping?: AbortSignal | undefined;
}) {
  const waiters = new Set<Waiter>();
  let timer: NodeJS.Timeout | undefined;
  let looking = false;
  deps.stopping?.addEventListener('abort', () => waiters.forEach(({ settle }) => settle(false)), { once: true });

  async function look(): Promise<void> {
    const asked = [...waiters];
    looking = true;
    // Those that were looked at closely come last the next time.
    for (const waiter of asked.slice(0, closelyMax)) if (waiters.delete(waiter)) waiters.add(waiter);
    try {
      const settled = await deps.statements.settled(
        asked.map(({ item }, at) => ({ ...item, closely: at < closelyMax })),
      );
      for (const at of settled) asked[at]!.settle(true);
    } catch {
      // They are stored: who waits goes on, and is told where its item is when its time is over.
    }
    looking = false;
    lookLater();
  }

  function lookLater(): void {
    clearTimeout(timer);
    if (looking || waiters.size === 0) return;
    let youngest = 0;
    for (const { since } of waiters) youngest = Math.max(youngest, since);
    timer = setTimeout(() => void look(), performance.now() - youngest < soonForMs ? soonMs : laterMs);
  }

  return {
    /** Whether the item is final: true as soon as it is, false after `ms`, when the client has left, or when the process stops. */
    wait(item: Place, ms: number, left: AbortSignal): Promise<boolean> {
      if (waiters.size >= waitersMax)
        throw new HttpProblem('busy', 'Too many requests wait for single items', { headers: { 'Retry-After': '1' } });
      if (left.aborted || deps.stopping?.aborted) return Promise.resolve(false);
      return new Promise((resolve) => {
        const waiter: Waiter = {
          item,
          since: performance.now(),
          settle(settled) {
            waiters.delete(waiter);
            clearTimeout(expiry);
            left.removeEventListener('abort', onLeft);
            resolve(settled);
          },
        };
        const onLeft = (): void => waiter.settle(false);
        const expiry = setTimeout(() => waiter.settle(false), ms);
        left.addEventListener('abort', onLeft);
        waiters.add(waiter);
        if (waiters.size === 1) lookLater();
      });
    },
  };
}
