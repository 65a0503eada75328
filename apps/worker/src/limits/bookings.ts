import type { SlotsAsked, SlotsLeased, Statements } from '@bullpen/db';
import { errorFacts, type Log } from '@bullpen/runtime';
import { createServerClock } from './clock.ts';

type Heard = (leased: SlotsLeased, toLocal: (serverTime: number) => number, receivedAt: number) => void;

const none: SlotsLeased = { starts: 0, firstAt: 0, everyMs: 0, looseMs: 0, waitMs: 500 };
/** Of one statement at most. */
const mergeMax = 500;
/** Of the time in which a reply comes: bounds of how long ahead slots are asked for. */
const aheadMs = { least: 15, most: 300 } as const;

/**
 * Leases slots for all that ask, many in one statement. They are asked for as long ahead as a reply takes to be here and heard, so that the
 * next are there when the last are used up.
 */
export function createBookings({ leaseSlots, log }: { leaseSlots: Statements['leaseSlots']; log: Log }) {
  const clock = createServerClock();
  let asked: { what: Omit<SlotsAsked, 'leadMs'>; heard: Heard }[] = [];
  let scheduled = false;
  /** From a question to its answer, smoothed. */
  let tripMs = 2;

  async function send(): Promise<void> {
    scheduled = false;
    const batch = asked.slice(0, mergeMax);
    asked = asked.slice(mergeMax);
    if (asked.length > 0) schedule();
    const sentAt = performance.now();
    try {
      const { now, leased } = await leaseSlots(batch.map(({ what }) => ({ ...what, leadMs: tripMs })));
      const receivedAt = performance.now();
      tripMs += (receivedAt - sentAt - tripMs) / 8;
      clock.saw(now, receivedAt);
      for (const [at, { heard }] of batch.entries()) heard(leased[at]!, clock.toLocal, receivedAt);
    } catch (error) {
      log.error(errorFacts(error), 'slots could not be leased, will be tried again');
      for (const { heard } of batch) heard(none, clock.toLocal, performance.now());
    }
  }

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => void send());
  }

  return {
    ask(what: Omit<SlotsAsked, 'leadMs'>, heard: Heard): void {
      asked.push({ what, heard });
      schedule();
    },
    aheadMs: (): number => Math.min(aheadMs.most, Math.max(aheadMs.least, 2 * tripMs + 10)),
  };
}

export type Bookings = ReturnType<typeof createBookings>;
