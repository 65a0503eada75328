import type { Held } from './line.ts';

/** A start that was had and not used, since no item was free to go, is kept so long. */
const keepMs = 10;

/** Leave of what limits the batch to start the items of a line. */
export function createStarting({ hand, line, plan, signal }: Held, isEnding: () => boolean) {
  const ticket = plan.gate.enter(0);
  let hadAt = -Infinity;
  let isWaiting = false;

  function goOn(): void {
    isWaiting = false;
    signal.give();
  }

  return {
    /** The next item may start, if there is one; else `signal` is given when it may. */
    may(now: number): boolean {
      // All wait for their group or their time: what is had for them would be lost, and the permit kept from others.
      if (!hand.isReady() && hand.dueAt() > now) {
        ticket.set(0);
        return true;
      }
      const items = hand.unseen() + hand.waiting();
      if (items === 0 || now - hadAt < keepMs) return true;
      ticket.set(items);
      if (isWaiting) return false;
      if (ticket.tryTake()) {
        hadAt = now;
        return true;
      }
      isWaiting = true;
      void ticket.wait(line.order, isEnding).then(goOn);
      return false;
    },
    /** What limits it is read again first. */
    refresh(): void {
      if (isWaiting) return;
      isWaiting = true;
      void plan.gate.refresh().then(goOn);
    },
    /** It does. */
    begun: (): void => void (hadAt = -Infinity),
    waits: (): boolean => isWaiting,
    end: (): void => ticket.leave(),
  };
}
