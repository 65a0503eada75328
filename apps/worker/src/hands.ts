/**
 * How many chunks this worker holds at once, from claim to flush. `auto`, within 8…64: enough that twice the items that
 * fit into handlers are there, and what is settled in a quarter of a second, so that claims and flushes on their way
 * leave nobody idle. More would only keep chunks from other workers.
 */
export function createHands(options: { chunks: number | 'auto'; concurrency: number; threads: () => number }) {
  let waiting: { gone: () => boolean; resolve: (got: boolean) => void }[] = [];
  let held = 0;
  let itemsOfAChunk = options.concurrency;
  let chunksPerSecond = 0;

  const limit = (): number =>
    options.chunks === 'auto'
      ? handsFor({ concurrency: options.concurrency, threads: options.threads(), itemsOfAChunk, chunksPerSecond })
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
    /** Tells how large chunks are these days. */
    saw(items: number): void {
      itemsOfAChunk += (items - itemsOfAChunk) / 4;
    },
    /** Tells how many are settled these days. */
    settles(perSecond: number): void {
      chunksPerSecond = perSecond;
      grant();
    },
  };
}

export type Hands = ReturnType<typeof createHands>;

/** Chunks in hand that keep twice `concurrency` items there, one that runs and one that waits for each thread, or a quarter of a second of work. */
export function handsFor(options: {
  concurrency: number;
  threads: number;
  itemsOfAChunk: number;
  chunksPerSecond: number;
}): number {
  const forItems = Math.ceil((2 * options.concurrency) / Math.max(1, options.itemsOfAChunk));
  return Math.min(64, Math.max(8, forItems, 2 * options.threads, Math.ceil(options.chunksPerSecond / 4)));
}

/** Items in handlers at once where nothing is set: enough that a handler that waits 10 ms reaches 10 000 items/s. */
export const autoConcurrency = 100;
