import { LRUCache } from 'lru-cache';
import { createRandom } from './random.ts';

/** What a handler may log with; pino fits. */
export interface HandlerLog {
  info: (facts: object, message?: string) => void;
  warn: (facts: object, message?: string) => void;
  error: (facts: object, message?: string) => void;
}

/** What the items of one batch share in one worker. */
export interface BatchScope<Params> {
  batchId: string;
  params: Params;
  /** Seed of the batch. */
  seed: number;
  log: HandlerLog;
  caches: Caches;
  /** Why no item of it is wanted any more, once it was cancelled. */
  cancelled: Error | null;
  /** What limits it; left out: nothing does. */
  gate?: Gate | undefined;
}

/** Where `ctx.limit` takes its slots. */
interface Gate {
  readonly limited: boolean;
  /** Resolves when n slots were taken; rejects when the signal aborts. */
  further: (n: number, signal: AbortSignal) => Promise<void>;
}

/** Where items run. One that waits for slots is away: it holds nobody up, and its time does not run. */
interface Place {
  leave: (at: number) => void;
  /** Resolves when it may go on. */
  enter: (at: number) => Promise<void> | void;
}

export interface StartContext<Params> {
  params: Params;
  log: HandlerLog;
  /** Waits for slots, as of an item. */
  limit: (n?: number) => Promise<void>;
  cache: <Value extends {}>(name: string, options: { max: number }) => LRUCache<string, Value>;
}

const furtherMax = 1000;

/** What `run` gets beside its input. Everything but `index` and `attempt` is made when it is first used. */
export class ItemContext<Params = unknown> implements StartContext<Params> {
  readonly index: number;
  /** From 1; counts the times the handler said no. */
  readonly attempt: number;
  readonly #scope: BatchScope<Params>;
  #random: (() => number) | undefined;
  #abort: AbortController | undefined;
  #place: Place | undefined;
  #at = 0;
  #waits = 0;

  constructor(scope: BatchScope<Params>, index: number, attempt: number) {
    this.#scope = scope;
    this.index = index;
    this.attempt = attempt;
  }

  /** Names this item for ever, over all attempts and workers: use it to make effects outside idempotent. */
  get itemKey(): string {
    return `${this.#scope.batchId}:${this.index}`;
  }

  get params(): Params {
    return this.#scope.params;
  }

  /** Aborted when this attempt has taken `timeoutMs`, when the batch is cancelled, and when another worker has its group by now. Made on first use. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#scope.cancelled !== null) this.#abort.abort(this.#scope.cancelled);
    }
    return this.#abort.signal;
  }

  /** Says to what still runs of an item that nobody waits for it any more. For the worker. */
  static end(context: ItemContext, reason: Error): void {
    context.#abort ??= new AbortController();
    context.#abort.abort(reason);
  }

  /** Says where it runs. For the worker. */
  static attach(context: ItemContext, place: Place, at: number): void {
    context.#place = place;
    context.#at = at;
    if (context.#waits > 0) place.leave(at);
  }

  /**
   * Waits for n more slots of the rate limits of the batch and of its handler, for n more calls of what they protect: at once where
   * there is none. Meanwhile another item runs in its place, and `timeoutMs` does not run. Rejects when `signal` aborts.
   */
  async limit(n = 1): Promise<void> {
    if (!Number.isInteger(n) || n < 1 || n > furtherMax)
      throw new RangeError(`limit takes a whole number of slots from 1 to ${furtherMax}`);
    const { gate } = this.#scope;
    if (gate === undefined || !gate.limited) return;
    this.#waits += 1;
    if (this.#waits === 1) this.#place?.leave(this.#at);
    try {
      await gate.further(n, this.signal);
    } finally {
      this.#waits -= 1;
      if (this.#waits === 0) await this.#place?.enter(this.#at);
    }
  }

  /** Numbers in [0, 1) that depend on the batch's seed and the index only. */
  get random(): () => number {
    this.#random ??= createRandom(this.#scope.seed, this.index);
    return this.#random;
  }

  get log(): HandlerLog {
    return this.#scope.log;
  }

  /** A cache of this worker by name, kept from batch to batch; at most `max` entries, the least recently used go. */
  cache<Value extends {}>(name: string, options: { max: number }): LRUCache<string, Value> {
    return this.#scope.caches.open<Value>(name, options.max);
  }
}

export type Caches = ReturnType<typeof createCaches>;

/** The named caches of a worker. The first `max` of a name counts. */
export function createCaches() {
  const caches = new Map<string, LRUCache<string, {}>>();
  return {
    open<Value extends {}>(name: string, max: number): LRUCache<string, Value> {
      let cache = caches.get(name);
      if (cache === undefined) {
        cache = new LRUCache<string, {}>({ max });
        caches.set(name, cache);
      }
      return cache as unknown as LRUCache<string, Value>;
    },
  };
}
