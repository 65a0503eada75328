import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';

/** How often the event loop is looked at. Node counts this interval itself as delay. */
const lagResolutionMs = 10;

const lagP99Of = (lag: IntervalHistogram): number =>
  Math.round(Math.max(0, lag.percentile(99) / 1e6 - lagResolutionMs) * 10) / 10;

/** What a worker counts. `wait` is time in which something was on its way, `work` time on this process's cpu. */
export function createFigures() {
  const lag = monitorEventLoopDelay({ resolution: lagResolutionMs });
  lag.enable();
  const totals = { items: 0, chunks: 0, fenced: 0 };
  let window = emptyWindow();
  let windowStarted = performance.now();
  let turnaroundMs = 100;
  let lagP99Ms = 0;

  return {
    totals,
    get turnaroundMs(): number {
      return turnaroundMs;
    },
    /** In the last whole window 99 of 100 timers were at most this late; 0 before there was one. */
    get lagP99Ms(): number {
      return lagP99Ms;
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
    },
    flushed(items: number, ms: number, fenced: number): void {
      window.flushes += 1;
      window.flushWaitMs += ms;
      window.items += items;
      window.fenced += fenced;
      totals.items += items;
      totals.fenced += fenced;
    },
    /** A chunk is over: how long after its publication. */
    settled(ms: number): void {
      totals.chunks += 1;
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
      lagP99Ms = lagP99Of(lag);
      lag.reset();
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
