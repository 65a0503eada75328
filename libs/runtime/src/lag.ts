import { monitorEventLoopDelay } from 'node:perf_hooks';

/** How often the event loop is looked at. Node counts this interval itself as delay. */
const resolutionMs = 10;

/** How late timers are in this process, window by window. */
export function createLag() {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  let p99Ms = 0;
  return {
    /** In the last whole window 99 of 100 timers were at most this late; 0 before there was one. */
    get p99Ms(): number {
      return p99Ms;
    },
    /** Ends a window. */
    close(): number {
      p99Ms = Math.round(Math.max(0, delay.percentile(99) / 1e6 - resolutionMs) * 10) / 10;
      delay.reset();
      return p99Ms;
    },
  };
}
