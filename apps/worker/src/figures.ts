import { createLag } from '@bullpen/runtime';

/** What takes time; `settle` is from the publication of a chunk to its flush. */
export type Phase = 'claim' | 'run' | 'flush' | 'settle';

/** What a flush came to. Chunks of others are fenced: nothing of them counts. */
export interface FlushFigures {
  /** Chunks that were ours. */
  chunks: number;
  succeeded: number;
  failed: number;
  /** Items of them that are tried again. */
  retried: number;
  fenced: number;
}

/** Since the start of the process. `items` are final, and `failed` among them. `chunks` are over, without those of lines. */
const nothing = () => ({ items: 0, failed: 0, retried: 0, chunks: 0, claimed: 0, flushed: 0, fenced: 0 });
export type Totals = ReturnType<typeof nothing>;

/**
 * What a worker counts. `wait` is time in which something was on its way, `work` time on this process's cpu. `observe` is told of
 * each claim, run and flush.
 */
export function createFigures(observe: (phase: Phase, ms: number) => void = () => undefined) {
  const lag = createLag();
  const totals = nothing();
  let window = emptyWindow();
  let windowStarted = performance.now();
  let turnaroundMs = 100;

  return {
    totals,
    lag,
    get turnaroundMs(): number {
      return turnaroundMs;
    },
    get paramsLoads(): number {
      return window.paramsLoads;
    },
    set paramsLoads(value: number) {
      window.paramsLoads = value;
    },
    get paramsHits(): number {
      return window.paramsHits;
    },
    set paramsHits(value: number) {
      window.paramsHits = value;
    },
    get workMs(): number {
      return window.handlerMs;
    },
    set workMs(value: number) {
      window.handlerMs = value;
    },
    claimed(chunks: number, ms: number): void {
      window.claims += 1;
      window.claimWaitMs += ms;
      window.chunks += chunks;
      totals.claimed += chunks;
      observe('claim', ms);
    },
    /** A chunk has run, or the turn of a line. */
    ran(ms: number): void {
      observe('run', ms);
    },
    flushed({ chunks, succeeded, failed, retried, fenced }: FlushFigures, ms: number): void {
      window.flushes += 1;
      window.flushWaitMs += ms;
      window.items += succeeded + failed;
      window.fenced += fenced;
      totals.items += succeeded + failed;
      totals.failed += failed;
      totals.retried += retried;
      totals.flushed += chunks;
      totals.fenced += fenced;
      observe('flush', ms);
    },
    /** What another process did for this one. */
    add(done: Partial<Totals>): void {
      for (const [name, count] of Object.entries(done)) totals[name as keyof Totals] += count;
    },
    /** A chunk is over: how long after its publication. */
    settled(ms: number): void {
      totals.chunks += 1;
      observe('settle', ms);
      turnaroundMs += (ms - turnaroundMs) / 16;
    },
    /** No chunk was in hand for this long. */
    idled(ms: number): void {
      window.idleMs += ms;
    },
    /** The figures since the last call, or null when nothing happened. */
    closeWindow(): Record<string, number> | null {
      const now = performance.now();
      const ms = now - windowStarted;
      const closed = window;
      window = emptyWindow();
      windowStarted = now;
      const lagP99Ms = lag.close();
      if (closed.items === 0 && closed.claims === 0) return null;
      return roundAll({
        windowMs: ms,
        ...closed,
        itemsPerSec: (closed.items / ms) * 1000,
        handlerMsPer10k: closed.items > 0 ? (closed.handlerMs / closed.items) * 10_000 : 0,
        lagP99Ms,
      });
    },
  };
}

export type Figures = ReturnType<typeof createFigures>;

const emptyWindow = () => ({
  items: 0,
  chunks: 0,
  claims: 0,
  claimWaitMs: 0,
  flushes: 0,
  flushWaitMs: 0,
  handlerMs: 0,
  fenced: 0,
  paramsLoads: 0,
  paramsHits: 0,
  idleMs: 0,
});

const roundAll = (figures: Record<string, number>): Record<string, number> =>
  Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Math.round(value * 10) / 10]));
