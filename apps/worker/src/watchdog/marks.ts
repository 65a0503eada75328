/**
 * Memory that a thread which runs handlers shares with the one that watches over it: which synchronous call of a handler it
 * is in. The watchdog watches the main thread, and that the threads of handlers (threads/).
 *
 * Plain stores, five an item, 3 ns together; Atomics would take 30. The watchdog looks only at what has not changed for
 * long, so that an order of stores or a half-written state cannot mislead it.
 */
export const cells = {
  /** Counts the calls. */
  call: 2,
  /** For a thread that runs chunks (threads/): something limits the batch whose chunk it has. */
  limited: 3,
  timeoutMs: 4,
  /** Counts the turns of the main loop. */
  turns: 5,
  /** The main thread ends and waits for the watchdog's word; see `exits`. */
  exit: 6,
  /** The other way round: a thread that runs chunks (threads/) is to start no more items. */
  stop: 7,
} as const;

/** No call; all items of the chunk in one call of `runChunk`; the batch's params and `start`. */
export const none = -1;
export const together = -2;
export const start = -3;

export const exits = { no: 0, asked: 1, blameless: 2, released: 3 } as const;

/**
 * The number of the chunk and the index of the item that is in a call (or `none`, `together`, `start`) are bigints in the database:
 * each is a double, before and behind the cells.
 */
export const viewsOf = (shared: SharedArrayBuffer): { chunk: Float64Array; item: Float64Array; words: Int32Array } => ({
  chunk: new Float64Array(shared, 0, 1),
  item: new Float64Array(shared, 32, 1),
  words: new Int32Array(shared),
});

/** The side of the thread that runs handlers. */
export function createMarks(shared = new SharedArrayBuffer(40)) {
  const { chunk, item: items, words } = viewsOf(shared);
  items[0] = none;
  let calls = 0;
  return {
    shared,
    /** A synchronous call of a handler begins. */
    enter(no: number, item: number, timeoutMs: number): void {
      chunk[0] = no;
      words[cells.timeoutMs] = timeoutMs;
      items[0] = item;
      calls = (calls + 1) | 0;
      words[cells.call] = calls;
    },
    /** It is over, or has answered a promise. */
    leave(): void {
      items[0] = none;
    },
    /** The main loop turns. */
    turn(): void {
      words[cells.turns] = (words[cells.turns]! + 1) | 0;
    },
  };
}

export type Marks = ReturnType<typeof createMarks>;
