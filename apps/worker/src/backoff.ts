const backoffMaxMs = 3_600_000;

/** Wait before the next attempt: `baseMs` doubled with each attempt that failed, at most 1 h, of which half is jitter. */
export function backoffMs(options: { attempt: number; baseMs: number; random: () => number }): number {
  const full = Math.min(backoffMaxMs, options.baseMs * 2 ** (options.attempt - 1));
  return Math.round(full / 2 + (full / 2) * options.random());
}
