import { timeMatters } from '../turn.ts';

interface Waiter {
  order: number;
  gone: () => boolean;
  until: number;
  resolve: () => void;
}

/** Nothing is waited for longer without a look: who is gone may not have said so. */
const lookMs = 1000;

/**
 * Those who wait for a time, of which `nextAt` tells the next; -Infinity: nobody need wait any more. Who is woken looks for itself, and comes back where there was nothing;
 * `poke` says that there may be something, or that one is done with what it was woken for.
 */
export function createWaiting(nextAt: (now: number) => number) {
  let waiters: Waiter[] = [];
  let timer: NodeJS.Timeout | undefined;

  function wake(waiter: Waiter): void {
    waiters.splice(waiters.indexOf(waiter), 1);
    if (waiters.length === 0) timeMatters(-1);
    waiter.resolve();
  }

  function poke(): boolean {
    clearTimeout(timer);
    const now = performance.now();
    for (const waiter of waiters.filter(({ gone, until }) => until <= now || gone())) wake(waiter);
    const [first] = waiters;
    if (first === undefined) return false;
    const next = nextAt(now);
    if (next === -Infinity) {
      while (waiters.length > 0) wake(waiters[0]!);
      return false;
    }
    if (next <= now) {
      wake(waiters.reduce((a, b) => (b.order < a.order ? b : a), first));
      // It may take what there is and never poke: the others look too.
      if (waiters.length > 0) timer = setTimeout(poke, lookMs);
      return true;
    }
    const soonest = waiters.reduce((least, { until }) => Math.min(least, until), next);
    timer = setTimeout(poke, Math.max(1, Math.min(lookMs, Math.ceil(soonest - now))));
    return false;
  }

  return {
    /** True: one looks whether there is something. */
    poke,
    /** The lowest order; Infinity: nobody waits. */
    order: (): number => waiters.reduce((least, { order }) => Math.min(least, order), Infinity),
    /** Resolves when there may be something for it, which the lowest `order` gets first; when it is gone; or `until` then. */
    wait(order: number, gone: () => boolean, until = Infinity): Promise<void> {
      return new Promise((resolve) => {
        if (waiters.length === 0) timeMatters(1);
        waiters.push({ order, gone, until, resolve });
        poke();
      });
    },
  };
}
