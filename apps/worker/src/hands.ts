/**
 * How many chunks this worker holds at once, from claim to flush. `auto`, within 8…256: enough that twice the items that
 * fit into handlers are there, and by Little's law what is settled in two round trips, one for the claim and one for the flush, and a
 * quarter of a second, so that claims and flushes on their way leave nobody idle. More would only keep chunks from others.
 */
export function createHands(options: { chunks: number | 'auto'; concurrency: number; threads: () => number }) {
  let waiting: { gone: () => boolean; resolve: (got: boolean) => void }[] = [];
  let held = 0;
  let { concurrency } = options;
  let itemsOfAChunk = concurrency;
  let bytesOfAChunk = 0;
  let chunksPerSecond = 0;
  let roundTripMs = 0;

  const limit = (): number =>
    options.chunks === 'auto'
      ? handsFor({
          concurrency,
          threads: options.threads(),
          itemsOfAChunk,
          bytesOfAChunk,
          chunksPerSecond,
          roundTripMs,
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
    release(): void {
      held -= 1;
      grant();
    },
    /** Tells how large chunks are these days: items, and bytes of their inputs and outputs. */
    saw(items: number, bytes: number): void {
      itemsOfAChunk += (items - itemsOfAChunk) / 4;
      bytesOfAChunk += (bytes - bytesOfAChunk) / 4;
    },
    /** Tells what was measured of late. */
    fit(measured: { concurrency: number; chunksPerSecond: number; roundTripMs: number }): void {
      ({ concurrency, chunksPerSecond, roundTripMs } = measured);
      grant();
    },
  };
}

export type Hands = ReturnType<typeof createHands>;

/** What all chunks in hand may take as text; parsed it is several times that. */
const handsMaxBytes = 32 * 1024 * 1024;

/** One chunk that runs and one that waits for each thread, and what the law says; but no more than fit into memory. */
export function handsFor(options: {
  concurrency: number;
  threads: number;
  itemsOfAChunk: number;
  bytesOfAChunk: number;
  chunksPerSecond: number;
  roundTripMs: number;
}): number {
  const forItems = Math.ceil((2 * options.concurrency) / Math.max(1, options.itemsOfAChunk));
  const forTheWay = Math.ceil(options.chunksPerSecond * (0.25 + (2 * options.roundTripMs) / 1000));
  const fit = Math.floor(handsMaxBytes / Math.max(1, options.bytesOfAChunk));
  return Math.min(256, Math.max(8, Math.min(fit, Math.max(forItems, 2 * options.threads, forTheWay))));
}
