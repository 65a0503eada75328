import { createAlarm } from './alarm.ts';
import { Queue } from './queue.ts';

/** A row of a line, as the hand sees it: its items by position. */
export interface HandRow {
  /** Positions 0…size − 1 are its items. */
  size: number;
  /** The first position that was not looked at yet; the hand moves it. */
  next: number;
  /** Items that may not start before a time, by position. */
  dueAt: ReadonlyMap<number, number>;
}

export interface Item<Row> {
  row: Row;
  at: number;
}

/** How fast the items of a group may start. */
interface GroupPace {
  readyAt: (key: string, now: number) => number;
  started: (key: string, now: number) => void;
}

export interface HandRules<Row> {
  /** Group key of an item; null: it is in no group and waits for nobody. */
  keyOf: (row: Row, at: number) => string | null;
  /** Items of a group that may run at once. */
  groupMax: number;
  /** An item that waits to be tried again holds up those of its group that come after it. */
  ordered: boolean;
  pace?: GroupPace | null;
}

/** Of a rate the times are kept as near as this. */
const paceStepMs = 5;

interface Chain<Row> {
  key: string;
  running: number;
  waiting: Queue<Item<Row>>;
  /** Nothing of it starts before. */
  dueAt: number;
  /** It stands in `startable`, or the alarm brings it there. */
  listed: boolean;
}

/**
 * The items in the hand of a line's owner, and which of them may start: a chain for each group of which something runs or waits, over
 * all rows in hand. The rows are a prefix of the line, so that a chain has all that comes before an item of it.
 *
 * Of a group of which nothing runs or waits there is no chain, and while there is none no key is looked at: items that are over
 * when their handler returns cost nothing for their order.
 */
export function createHand<Row extends HandRow>({ keyOf, groupMax, ordered, pace = null }: HandRules<Row>) {
  const isGrouped = groupMax < Infinity || pace !== null;
  const chains = new Map<string, Chain<Row>>();
  /** Chains whose first may start, as it was seen when they came here. */
  const startable = new Queue<Chain<Row>>();
  /** Items whose time has come, and that wait for no group. */
  const loose = new Queue<Item<Row>>();
  const alarm = createAlarm<Chain<Row> | Item<Row>>(pace === null ? undefined : paceStepMs);
  /** Rows with positions that were not looked at, in order. */
  const ahead = new Queue<Row>();
  let unseen = 0;
  let waiting = 0;

  function chainOf(key: string): Chain<Row> {
    let chain = chains.get(key);
    if (chain === undefined)
      chains.set(key, (chain = { key, running: 0, waiting: new Queue(), dueAt: 0, listed: false }));
    return chain;
  }

  const groupOf = ({ row, at }: Item<Row>): string | null => (isGrouped ? keyOf(row, at) : null);

  const freeAt = (key: string, chain: Chain<Row> | undefined, now: number): number =>
    chain !== undefined && chain.running >= groupMax
      ? Infinity
      : Math.max(chain?.dueAt ?? 0, pace?.readyAt(key, now) ?? 0);

  /** Brings it to where its first will be looked at when it may start; forgets it where nothing of it is left. */
  function list(chain: Chain<Row>, now: number): void {
    if (chain.listed) return;
    if (chain.waiting.size === 0) {
      if (chain.running === 0) chains.delete(chain.key);
      return;
    }
    const at = freeAt(chain.key, chain, now);
    if (at === Infinity) return;
    chain.listed = true;
    if (at > now) alarm.set(at, chain);
    else startable.push(chain);
  }

  function ring(now: number): void {
    for (let due = alarm.take(now); due !== null; due = alarm.take(now)) {
      if ('key' in due) {
        due.listed = false;
        list(due, now);
        continue;
      }
      const key = groupOf(due);
      if (key === null) loose.push(due);
      else wait(chainOf(key), due, now);
    }
  }

  function wait(chain: Chain<Row>, item: Item<Row>, now: number): void {
    chain.waiting.push(item);
    list(chain, now);
  }

  function takeStartable(now: number): Item<Row> | undefined {
    for (let chain = startable.first(); chain !== undefined; chain = startable.first()) {
      const item = freeAt(chain.key, chain, now) <= now ? chain.waiting.shift() : undefined;
      if (item !== undefined) {
        pace?.started(chain.key, now);
        return item;
      }
      startable.shift();
      chain.listed = false;
      list(chain, now);
    }
    return undefined;
  }

  /** Whether an item that was not looked at yet may start; else it waits from now on. */
  function mayStart(row: Row, at: number, now: number): boolean {
    const dueAt = row.dueAt.size === 0 ? 0 : (row.dueAt.get(at) ?? 0);
    if (dueAt <= now && pace === null && chains.size === 0) return true;
    const key = isGrouped ? keyOf(row, at) : null;
    if (dueAt <= now && key === null) return true;
    if (dueAt > now && !(ordered && key !== null)) {
      alarm.set(dueAt, { row, at });
      waiting += 1;
      return false;
    }
    const known = chains.get(key!);
    if (dueAt <= now && (known === undefined || known.waiting.size === 0) && freeAt(key!, known, now) <= now) {
      pace?.started(key!, now);
      return true;
    }
    const chain = known ?? chainOf(key!);
    if (dueAt > now) chain.dueAt = dueAt;
    waiting += 1;
    wait(chain, { row, at }, now);
    return false;
  }

  function takeAhead(now: number): Item<Row> | null {
    for (let row = ahead.first(); row !== undefined; row = ahead.first()) {
      while (row.next < row.size) {
        const at = row.next;
        row.next += 1;
        unseen -= 1;
        if (mayStart(row, at, now)) return { row, at };
      }
      ahead.shift();
    }
    return null;
  }

  return {
    add(row: Row): void {
      ahead.push(row);
      unseen += row.size - row.next;
    },

    /**
     * An item that may start now, or null. If it is over when its handler returns, nothing is to be said of it; if that answers a
     * promise, `hold` it until then; if it is to be tried again, `retry` it. All before the next one is taken.
     */
    take(now: number): Item<Row> | null {
      ring(now);
      const waited = loose.shift() ?? takeStartable(now);
      if (waited === undefined) return takeAhead(now);
      waiting -= 1;
      return waited;
    },

    /** It has answered a promise. */
    hold(item: Item<Row>): void {
      const key = groupOf(item);
      if (key !== null) chainOf(key).running += 1;
    },

    /** The promise of an item that was held has settled. */
    free(item: Item<Row>, now: number): void {
      const key = groupOf(item);
      if (key === null) return;
      const chain = chainOf(key);
      chain.running -= 1;
      list(chain, now);
    },

    /** It is to be tried again then; after `free`, where it was held. */
    retry(item: Item<Row>, dueAt: number, now: number): void {
      waiting += 1;
      const key = ordered ? keyOf(item.row, item.at) : null;
      if (key === null) return alarm.set(dueAt, item);
      const chain = chainOf(key);
      chain.waiting.unshift(item);
      chain.dueAt = dueAt;
      list(chain, now);
    },

    /** Items that were not looked at yet. */
    unseen: (): number => unseen,
    /** Items that wait for their group or their time. */
    waiting: (): number => waiting,
    /** When the next of those that wait for a time may start; Infinity: none does. */
    dueAt: (): number => alarm.next(),
    /** Whether there is something to look at without a wait for a time. */
    isReady: (): boolean => loose.size > 0 || startable.size > 0 || unseen > 0,
  };
}

export type Hand<Row extends HandRow> = ReturnType<typeof createHand<Row>>;
