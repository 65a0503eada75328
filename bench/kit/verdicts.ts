import type { Verdict } from './scenario.ts';

/** `1.79 ×`, rounded down: what is printed holds no more than what was found. */
const timesText = (found: number): string => `${(Math.floor(found * 100) / 100).toFixed(2)} ×`;

/** A factor that has to be at least so large; null: it is only told. */
export const factor = (target: string, asks: string, found: number, least: number | null): Verdict => ({
  target,
  asks,
  found: timesText(found),
  ok: least === null ? null : found >= least,
});
