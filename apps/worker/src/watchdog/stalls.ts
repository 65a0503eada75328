import { none } from './marks.ts';

/** What the watchdog sees of the main thread at one look. */
export interface Look {
  call: number;
  item: number;
  timeoutMs: number;
  turns: number;
}

/**
 * What is to be done: nothing, say that the worker is there (`stay`), take the item that does not end from it (`blame`),
 * or end a process whose loop stands still outside of any call (`stuck`).
 */
export type Finding = 'fine' | 'stay' | 'blame' | 'stuck';

/** A call is given this long whatever `timeoutMs` says: the end of a process costs others more than that. */
const patienceMinMs = 1000;
const stuckMinMs = 2000;

/**
 * Judges looks that come every `tickMs`. Time is counted in looks, not by a clock: a process that was stopped as a whole
 * did not look, so nothing is held against it.
 *
 * A call may last for `timeoutMs`; from 0.2 of the lease on the main loop cannot renew, so the watchdog does. A loop that
 * stands still outside of any call has lost its chunks after a lease; after two it is ended.
 */
export function createStalls({ tickMs, leaseMs }: { tickMs: number; leaseMs: number }) {
  const stayEvery = Math.max(1, Math.floor((leaseMs * 0.2) / tickMs));
  let last: Look = { call: 0, item: none, timeoutMs: 0, turns: 0 };
  let callTicks = 0;
  let loopTicks = 0;

  return (look: Look): Finding => {
    const sameCall = look.item !== none && last.item !== none && look.call === last.call;
    callTicks = sameCall ? callTicks + 1 : 0;
    loopTicks = look.turns === last.turns ? loopTicks + 1 : 0;
    last = look;
    if (look.item === none) return loopTicks * tickMs > Math.max(stuckMinMs, 2 * leaseMs) ? 'stuck' : 'fine';
    if (callTicks * tickMs > Math.max(patienceMinMs, look.timeoutMs)) return 'blame';
    return callTicks > 0 && callTicks % stayEvery === 0 ? 'stay' : 'fine';
  };
}
