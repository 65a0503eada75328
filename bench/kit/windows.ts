import type { House } from './house.ts';
import type { Figures } from './scenario.ts';
import { median } from './stats.ts';

type Line = Record<string, unknown>;

const numberOf = (line: Line, name: string): number => Number(line[name] ?? 0);
const sum = (lines: readonly Line[], name: string): number =>
  lines.reduce((total, line) => total + numberOf(line, name), 0);
const per10k = (lines: readonly Line[], name: string): number =>
  (sum(lines, name) / Math.max(1, sum(lines, 'items'))) * 10_000;

/** Warm-up ends with the first window whose handler time is this near to the median of the last half. */
const near = 0.2;
/** Windows with less than this part of the items of the median one say nothing: a batch began or ended in them. */
const leastPart = 0.2;

/** The windows of one worker before it was warm, and after. */
function cut(lines: readonly Line[]): { cold: Line[]; warm: Line[] } {
  const usual = median(lines.map((line) => numberOf(line, 'items')));
  const full = lines.filter((line) => numberOf(line, 'items') >= leastPart * usual);
  const times = full.map((line) => numberOf(line, 'handlerMsPer10k'));
  const steady = median(times.slice(times.length >> 1));
  const first = times.findIndex((ms) => Math.abs(ms - steady) <= near * steady);
  return { cold: full.slice(0, first), warm: full.slice(first) };
}

/**
 * What the workers of a house logged each METRICS_WINDOW_MS while a batch ran: ms, claims and flushes per 10 000 items once they were
 * warm, their handler time before that, and the rate without it. {} where they wrote no whole window.
 */
export function windowsOf({ workers }: Pick<House, 'workers'>): Figures {
  const each = workers.map((worker) => worker.lines('window')).filter((lines) => lines.length > 0);
  if (each.length < workers.length) return {};
  const parts = each.map(cut);
  const warm = parts.flatMap((part) => part.warm);
  const cold = parts.flatMap((part) => part.cold);
  const rateOf = (lines: readonly Line[]): number => (sum(lines, 'items') / sum(lines, 'windowMs')) * 1000;
  return {
    'warm items/s': parts.reduce((total, part) => total + rateOf(part.warm), 0),
    'warm-up s': Math.max(...parts.map((part) => sum(part.cold, 'windowMs') / 1000)),
    'claim ms/10k': per10k(warm, 'claimWaitMs'),
    'run ms/10k': per10k(warm, 'handlerMs'),
    'flush ms/10k': per10k(warm, 'flushWaitMs'),
    'claims/10k': per10k(warm, 'claims'),
    'flushes/10k': per10k(warm, 'flushes'),
    ...(cold.length > 0 && { 'run ms/10k cold': per10k(cold, 'handlerMs') }),
    'params read': sum(each.flat(), 'paramsLoads'),
  };
}
