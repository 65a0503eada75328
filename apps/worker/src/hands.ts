/**
 * How many chunks this worker holds at once, from claim to flush. `auto`, within 2…256: enough that twice the items that
 * fit into handlers are there, and by Little's law what is settled in two round trips, one for the claim and one for the flush, and a
 * quarter of a second, so that claims and flushes on their way leave nobody idle. More would only keep chunks from others: of chunks
 * that run for long a second one is enough, unless some items of the first hold it up.
 */
export function createHands(options: { chunks: number | 'auto'; concurrency: number; threads: () => number }) {
  let waiting: Waiting[] = [];
  /** By batch. */
  const holds = new Map<number, number>();
  let held = 0;
  let aside = 0;
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

  /** Who is next: the lowest tag, and in line before others with it; among `of`. */
  function nextOf(of: (who: Waiting) => boolean): number {
    let next = -1;
    for (const [at, who] of waiting.entries()) if (of(who) && (next < 0 || who.tag < waiting[next]!.tag)) next = at;
    return next;
  }

  const give = (at: number): void => {
    const [who] = waiting.splice(at, 1);
    held += 1;
    holds.set(who!.batch, (holds.get(who!.batch) ?? 0) + 1);
    who!.resolve(true);
  };

  /** Of the batches that hold or wait for some each could have so many. */
  const shareOf = (max: number): number => max / new Set([...holds.keys(), ...waiting.map(({ batch }) => batch)]).size;

  /**
   * Beyond the limit for a batch that has less than its share: it would else wait until chunks of others are over, which may run for a
   * second.
   */
  const grant = (): void => {
    const max = limit();
    while (waiting.length > 0 && held < max) give(nextOf(() => true));
    if (waiting.length === 0 || held >= 2 * max) return;
    const share = shareOf(max);
    while (held < 2 * max) {
      const at = nextOf(({ batch }) => (holds.get(batch) ?? 0) < share);
      if (at < 0) return;
      give(at);
    }
  };

  function letGo(batch: number): void {
    held -= 1;
    const left = (holds.get(batch) ?? 1) - 1;
    if (left > 0) holds.set(batch, left);
    else holds.delete(batch);
    grant();
  }

  return {
    limit,
    get held(): number {
      return held;
    },
    /** Resolves with true when there is a hand free, which is then taken; with false when it was dismissed before. The lowest tag goes first. */
    take(gone: () => boolean, { tag, batch }: { tag: number; batch: number }): Promise<boolean> {
      return new Promise((resolve) => {
        waiting.push({ tag, batch, gone, resolve });
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
    /** One who has a hand does nothing but wait: it is free, and who had it counts apart. False: too many do. */
    stepAside(batch: number): boolean {
      if (aside >= Math.min(asideMax, handsMaxBytes / Math.max(1, bytesOfAChunk))) return false;
      aside += 1;
      letGo(batch);
      return true;
    },
    /** Chunks that wait apart. */
    get aside(): number {
      return aside;
    },
    release(batch: number, wasAside = false): void {
      if (wasAside) aside -= 1;
      else letGo(batch);
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

interface Waiting {
  /** Its place in the fair order. */
  tag: number;
  batch: number;
  gone: () => boolean;
  resolve: (got: boolean) => void;
}

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

/** Chunks that wait for what limits their batch, and lines that wait for slow items, beside those in hand. */
const asideMax = 256;
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
