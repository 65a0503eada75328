import { batchLimit, handlerLimit, type Limit } from '@bullpen/db';
import type { Bookings } from './bookings.ts';
import { createFurther } from './further.ts';
import type { Permit, Permits } from './permits.ts';
import { createPool, type Names, type Pool } from './pool.ts';
import { createWaiting } from './waiting.ts';

export interface GateDeps {
  bookings: Bookings;
  permits: Permits;
  /** Whether there is room in handlers here, and how many items fit in all. */
  slots: { readonly free: number; readonly max: number };
  /** Tells the database that nobody is to start an item of this batch, or of its handler, for so long. */
  pauseAll: (batch: number, ms: number) => void;
  /** Reads what limits this batch, and applies it. */
  read: (batch: number) => Promise<void>;
}

/** What says when the items of a batch may start. */
export interface Gate {
  /** False: any time; a ticket need not be asked. */
  readonly limited: boolean;
  /** What limits it was not read for too long to go by it: `refresh` first. */
  isStale: () => boolean;
  refresh: () => Promise<void>;
  /** Items that a chunk of it should have, so that several workers have one; Infinity: any number. */
  readonly pieceItems: number;
  /** So many items are here that would start. */
  enter: (items: number) => Ticket;
  /** So many more are in handlers, or fewer. */
  use: (by: number) => void;
  /** Each of its items holds one of `slots` while it is in a handler. */
  holdsSlots: () => void;
  /** Takes n slots for what is called from inside a handler; rejects when `signal` aborts. */
  further: (n: number, signal: AbortSignal) => Promise<void>;
  /** Nobody starts an item for so long, on no worker. */
  pauseAll: (ms: number) => void;
  /** How long that is still so. */
  pausedMs: () => number;
}

/** The items of one run. */
export interface Ticket {
  /** One of them may start, and does: now, or never. */
  tryTake: () => boolean;
  /** So many of them may, up to `most`: more than one only where it is not said for each when it is to start. */
  take: (most: number) => number;
  /** Resolves when `tryTake` may succeed, lower orders first; when `gone`; or `until` then. */
  wait: (order: number, gone: () => boolean, until?: number) => Promise<void>;
  /** So many would start. */
  set: (items: number) => void;
  /** True: nothing that was leased is lost if it goes now. Else no more than that is leased for it from now on. */
  mayGo: () => boolean;
  leave: () => void;
}

/** It is read each half second; nothing starts by what is older than this, so that a change acts within 2 s however late a loop is. */
const staleMs = 1500;
/** What of it was just set here is not undone by what was read before that was stored. */
const settleMs = 2000;

/** A chunk that waits for a rate has the items of this time: while one is on its way back to the queue others are there. */
const pieceMs = 500;

/** The gate of a batch in this worker. `apply` tells what limits it now. */
export function createGate(batch: number, handler: string, deps: GateDeps) {
  const pools = new Map<number, Pool>();
  const waiting = createWaiting(nextAt);
  let needsSlots = false;
  const user = {
    // A permit without a slot would only be kept from other workers.
    wanted: (): number => Math.min(demand, needsSlots ? Math.max(0, deps.slots.free) : deps.slots.max),
    poke: () => waiting.poke(),
    order: () => waiting.order(),
  };
  const further = createFurther({ pausedUntil: () => pausedUntil, isRated: () => isRated, poolOf });
  let names: Names = { batch: null, handler: null };
  let isRated = false;
  let cost = 1;
  let permits: Permit[] = [];
  let pausedUntil = -Infinity;
  let pausedHereAt = -Infinity;
  let known = '';
  let readAt = performance.now();
  let tickets = 0;
  /** Items here that have not started. */
  let demand = 0;
  let used = 0;

  function room(now: number): number {
    let least = Infinity;
    for (const permit of permits) least = Math.min(least, permit.room(now));
    return least;
  }
  // How many of them handlers have room for is not known: items that do not answer a promise need none. The pool finds out.
  const wanted = (now: number): number =>
    needsSlots && deps.slots.free <= 0 ? 0 : Math.max(0, Math.min(demand, room(now)));

  function poolOf(each: number): Pool {
    let pool = pools.get(each);
    if (pool === undefined) pools.set(each, (pool = createPool(each, names, deps.bookings, pokeAll)));
    return pool;
  }

  function pokeAll(): void {
    waiting.poke();
    further.poke();
  }

  function nextAt(now: number): number {
    if (!gate.limited) return -Infinity;
    if (now < pausedUntil) return pausedUntil;
    if (room(now) < 1) return Infinity;
    if (!isRated) return now;
    const pool = poolOf(cost);
    // Also where others have all slots: who is woken waits for one in the fair order, and here it would wait for as long as they last.
    pool.want(Math.max(Math.min(1, demand), wanted(now)), now);
    return pool.nextAt(now);
  }

  function take(most: number): number {
    if (!gate.limited) return most;
    const now = performance.now();
    if (now < pausedUntil) return 0;
    const may = Math.min(most, Math.floor(room(now)));
    if (may < 1) return 0;
    return isRated ? poolOf(cost).take(now, may, wanted) : may;
  }

  function enter(items: number): Ticket {
    let mine = 0;
    function set(to: number): void {
      const isMore = to > mine;
      demand += to - mine;
      mine = to;
      if (!isMore || !gate.limited) return;
      const now = performance.now();
      if (isRated) poolOf(cost).want(wanted(now), now);
      if (permits.length > 0 && room(now) < 1) deps.permits.nudge();
    }
    function takeOwn(most: number): number {
      const count = take(most);
      if (count > 0) set(Math.max(0, mine - count));
      return count;
    }
    tickets += 1;
    set(items);
    return {
      tryTake: (): boolean => takeOwn(1) > 0,
      take: takeOwn,
      wait: (order, gone, until) => waiting.wait(order, gone, until),
      set,
      mayGo(): boolean {
        const owed = isRated ? poolOf(cost).booked(performance.now()) - (demand - mine) : 0;
        set(Math.max(0, Math.min(mine, owed)));
        return mine === 0;
      },
      leave(): void {
        tickets -= 1;
        set(0);
        if (permits.length > 0 && demand === 0 && used === 0) deps.permits.nudge();
        waiting.poke();
      },
    };
  }

  function setPermits(of: readonly string[]): void {
    const next = of.map((name) => deps.permits.of(name));
    for (const permit of next) if (!permits.includes(permit)) permit.join(user, used);
    for (const permit of permits) if (!next.includes(permit)) permit.leave(user, used);
    permits = next;
  }

  function setRate(own: Limit | undefined, hers: Limit | undefined): void {
    const said = JSON.stringify([own?.rate, own?.perMs, own?.cost, hers?.rate, hers?.perMs]);
    if (said === known) return;
    known = said;
    names = {
      batch: own?.rate == null ? null : batchLimit(batch),
      handler: hers?.rate == null ? null : handlerLimit(handler),
    };
    isRated = names.batch !== null || names.handler !== null;
    cost = own?.cost ?? 1;
    gate.pieceItems = Math.max(1, Math.min(itemsIn(pieceMs, own, cost), itemsIn(pieceMs, hers, cost)));
    // What was leased under another rate is not used any more.
    pools.clear();
  }

  function setPause(ms: number): void {
    const now = performance.now();
    if (ms > 0 && now >= pausedUntil) for (const pool of pools.values()) pool.clear();
    if (ms > 0) pausedUntil = now + ms;
    else if (now - pausedHereAt > settleMs) pausedUntil = -Infinity;
  }

  const gate = {
    limited: false,
    pieceItems: Infinity,
    enter,
    holdsSlots: (): void => void (needsSlots = true),
    further: (n: number, signal: AbortSignal): Promise<void> => further.take(n, signal),
    isStale: (): boolean => performance.now() - readAt > staleMs,
    refresh: (): Promise<void> => deps.read(batch),
    use(by: number): void {
      used += by;
      if (permits.length === 0) return;
      for (const permit of permits) permit.use(by);
      if (by < 0) for (const permit of permits) permit.poke();
    },
    pauseAll(ms: number): void {
      const now = performance.now();
      pausedHereAt = now;
      pausedUntil = Math.max(pausedUntil, now + ms);
      gate.limited = true;
      for (const pool of pools.values()) pool.clear();
      deps.pauseAll(batch, ms);
    },
    pausedMs: (): number => Math.max(0, pausedUntil - performance.now()),
    /** Something of it is here. */
    isBusy: (): boolean => tickets > 0 || used > 0,
    apply(own: Limit | undefined, hers: Limit | undefined, at: number): void {
      readAt = at;
      setRate(own, hers);
      setPause(Math.max(own?.pausedMs ?? 0, hers?.pausedMs ?? 0));
      setPermits([own, hers].flatMap((limit) => (limit?.concurrency == null ? [] : [limit.name])));
      gate.limited = isRated || permits.length > 0 || performance.now() < pausedUntil;
      pokeAll();
    },
  };
  return gate;
}

const itemsIn = (ms: number, limit: Limit | undefined, cost: number): number =>
  limit?.rate == null ? Infinity : Math.floor((ms * limit.rate) / limit.perMs! / cost);

export type OwnGate = ReturnType<typeof createGate>;

const openTicket: Ticket = {
  tryTake: () => true,
  take: (most) => most,
  wait: () => Promise.resolve(),
  set: () => undefined,
  mayGo: () => true,
  leave: () => undefined,
};

/** Of what nothing limits. */
export const openGate: Gate = {
  limited: false,
  isStale: () => false,
  refresh: () => Promise.resolve(),
  pieceItems: Infinity,
  enter: () => openTicket,
  use: () => undefined,
  holdsSlots: () => undefined,
  further: () => Promise.resolve(),
  pauseAll: () => undefined,
  pausedMs: () => 0,
};
