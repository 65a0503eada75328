export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

/** The value that this part of all values does not pass: 0.99 for p99. */
export const quantile = (values: readonly number[], part: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)]!;
};

/** `312 000`; a decimal where it matters. */
export function figure(value: number): string {
  if (Math.abs(value) >= 10_000) return grouped(Math.round(value / 100) * 100);
  if (Math.abs(value) >= 100 || Number.isInteger(value)) return grouped(Math.round(value));
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

const grouped = (value: number): string => String(value).replaceAll(/\B(?=(\d{3})+$)/g, ' ');

/** Median and, of several runs, the smallest and the largest. */
export function spread(values: readonly number[]): string {
  const middle = figure(median(values));
  return values.length === 1 ? middle : `${middle} (${figure(Math.min(...values))}–${figure(Math.max(...values))})`;
}
