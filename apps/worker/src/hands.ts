/**
 * How many chunks this worker holds at once, from claim to flush. `auto`, within 2…256: enough that twice the items that
 * fit into handlers are there, and by Little's law what is settled in two round trips, one for the claim and one for the flush, and a
 * quarter of a second, so that claims and flushes on their way leave nobody idle. More would only keep chunks from others: of chunks
 * that run for long a second one is enough, unless some items of the first hold it up.
 */
export function createHands(options: { chunks: number | 'auto'; concurrency: number; threads: () => number }) {
  let waiting: { gone: () => boolean; resolve: (got: boolean) => void }[] = [];
  let held = 0;
  let { concurrency } = options;
  let itemsOfAChunk = concurrency;
  let bytesOfAChunk = 0;
  let measured: Measured = { itemMs: 0, chunksPerSecond: 0, roundTripMs: 0 };
  let starvedFor = 0;

  const limit = (): number =>
    options.chunks === 'auto'
      ? handsFor({
          concurrency,
          threads: options.threads(),
          itemsOfAChunk,
          bytesOfAChunk,
          isStarved: starvedFor > 0,
          ...measured,
        })
      : options.chunks;

  const grant = (): void => {
    while (waiting.length > 0 && held < limit()) {
      held += 1;
      waiting.shift()!.resolve(true);
    }
  };

  return {
    limit,
    get held(): number {
      return held;
    },
    /** Resolves with true when there is a hand free, which is then taken; with false when it was dismissed before. */
    take(gone: () => boolean): Promise<boolean> {
      return new Promise((resolve) => {
        waiting.push({ gone, resolve });
        grant();
      });
    },
    /** Sends away those who wait for nothing any more. */
    dismiss(): void {
      const leaving = waiting.filter(({ gone }) => gone());
      waiting = waiting.filter((each) => !leaving.includes(each));
      for (const { resolve } of leaving) resolve(false);
    },
    /** Somebody waits for one. */
    isWanted: (): boolean => waiting.length > 0,
    release(): void {
      held -= 1;
      grant();
    },
    /** Tells how large chunks are these days: items, and bytes of their inputs and outputs. */
    saw(items: number, bytes: number): void {
      itemsOfAChunk += (items - itemsOfAChunk) / 4;
      bytesOfAChunk += (bytes - bytesOfAChunk) / 4;
    },
    /** Tells what was measured of late, and whether handlers have room for more items. */
    fit({ hasRoom, ...now }: Measured & { concurrency: number; hasRoom: boolean }): void {
      starvedFor = hasRoom && held >= limit() ? starvedLooks : Math.max(0, starvedFor - 1);
      ({ concurrency, ...measured } = now);
      grant();
    },
  };
}

export type Hands = ReturnType<typeof createHands>;

/** What was measured of late. */
interface Measured {
  /** Time of an item that answers a promise; 0: none has yet. */
  itemMs: number;
  chunksPerSecond: number;
  roundTripMs: number;
}

/** So much work is at hand, besides what runs. */
const spareMs = 250;
/** Where it is not known how long chunks take, or where items of few hold up the rest. */
const leastUnknown = 8;
/** Handlers that were starved get as many hands for so many measurements more: of fewer they would be starved again. */
const starvedLooks = 10;

/** What all chunks in hand may take as text; parsed it is several times that. */
const handsMaxBytes = 32 * 1024 * 1024;

/** One chunk that runs and one that waits for each thread, and what the law says; but no more than fit into memory. */
export function handsFor(
  options: Measured & {
    concurrency: number;
    threads: number;
    itemsOfAChunk: number;
    bytesOfAChunk: number;
    /** Handlers have room, though all hands are full: a few items of each chunk hold it up. */
    isStarved: boolean;
  },
): number {
  const forItems = Math.ceil((2 * options.concurrency) / Math.max(1, options.itemsOfAChunk));
  const forTheWay = Math.ceil(options.chunksPerSecond * ((spareMs + 2 * options.roundTripMs) / 1000));
  const chunkMs = (options.itemMs * options.itemsOfAChunk) / options.concurrency;
  const least =
    options.isStarved || chunkMs === 0 ? leastUnknown : Math.min(leastUnknown, 1 + Math.ceil(spareMs / chunkMs));
  const fit = Math.floor(handsMaxBytes / Math.max(1, options.bytesOfAChunk));
  return Math.min(256, Math.max(least, Math.min(fit, Math.max(forItems, 2 * options.threads, forTheWay))));
}
