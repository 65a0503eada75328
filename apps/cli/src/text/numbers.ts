const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** 1234567 as `1,234,567`. */
export const countText = (value: number): string => grouped.format(value);

/** `1 item`, `2 items`. */
export const itemsText = (count: number, one = 'item', many = `${one}s`): string =>
  `${countText(count)} ${count === 1 ? one : many}`;

/** Items a second: `12,345`, with a decimal below 10, where it matters. */
export const rateText = (perSecond: number): string =>
  perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : countText(perSecond);

/** Rounded down, so that 100% is shown only when all is done. */
export const percentText = (done: number, total: number): string =>
  `${total === 0 ? 100 : Math.floor((done / total) * 100)}%`;

/** Whole percents that sum to 100: each rounded down, and one more for those that lost most (largest remainders). */
export function shareTexts(parts: readonly number[]): string[] {
  const total = parts.reduce((sum, part) => sum + part, 0);
  if (total === 0) return parts.map(() => '–');
  const exact = parts.map((part) => (part / total) * 100);
  const missing = 100 - exact.reduce((sum, each) => sum + Math.floor(each), 0);
  const byLoss = [...exact.keys()].sort((a, b) => (exact[b]! % 1) - (exact[a]! % 1));
  const raised = new Set(byLoss.slice(0, missing));
  return exact.map((each, at) => `${Math.floor(each) + (raised.has(at) ? 1 : 0)}%`);
}

/** Bytes for people: `1.2 GB`. */
export function bytesText(bytes: number): string {
  const steps = ['B', 'kB', 'MB', 'GB', 'TB'];
  let [value, step] = [bytes, 0];
  while (value >= 1000 && step < steps.length - 1) [value, step] = [value / 1024, step + 1];
  return `${value < 10 && step > 0 ? value.toFixed(1) : Math.round(value)} ${steps[step]}`;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A duration in its two largest units: `420 ms`, `4.2 s`, `42 s`, `3 min 05 s`, `2 h 05 min`, `3 d 4 h`. */
export function durationText(ms: number): string {
  if (ms < SECOND) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 9.95 * SECOND) return `${(ms / SECOND).toFixed(1)} s`;
  const seconds = Math.round(ms / SECOND) * SECOND;
  if (seconds < MINUTE) return `${seconds / SECOND} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ${twoDigits((seconds % MINUTE) / SECOND)} s`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ${twoDigits(Math.floor((seconds % HOUR) / MINUTE))} min`;
  return `${Math.floor(seconds / DAY)} d ${Math.floor((seconds % DAY) / HOUR)} h`;
}

const twoDigits = (value: number): string => String(value).padStart(2, '0');

/** An ISO time as its distance from now: `4.2 s ago`, `–` where there is none. The clocks of two machines differ, so never negative. */
export const agoText = (time: string | null, nowMs: number): string =>
  time === null ? '–' : `${durationText(Math.max(0, nowMs - Date.parse(time)))} ago`;

/** `0-3,7`, short enough for 256 of them. */
export function rangesText(numbers: readonly number[]): string {
  const ranges: [first: number, last: number][] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const range = ranges.at(-1);
    if (range && number === range[1] + 1) range[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(',') || '–';
}
