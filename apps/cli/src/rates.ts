import { InvalidArgumentError } from 'commander';
import { wholeNumber } from './options.ts';

/** So many in `perMs`. */
export interface Rate {
  limit: number;
  perMs: number;
}

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
const day = 86_400_000;

/** Parses `--rate-limit`: `50/s`, `3000/m`, `100/250ms`. */
export function rate(text: string): Rate {
  const [, limit = '', times = '1', unit] = /^([\d_,]+)\/(\d*)(ms|s|m|h)$/.exec(text) ?? [];
  const perMs = unit === undefined ? NaN : Number(times || '1') * units[unit as keyof typeof units];
  if (!(perMs >= 1 && perMs <= day))
    throw new InvalidArgumentError('It must be a number in a time of up to a day: 50/s, 3000/m, 1/h, 100/250ms.');
  return { limit: wholeNumber(1, 1_000_000)(limit), perMs };
}

/** The same of an option that can be taken away: `none`. */
export const orNone =
  <Value>(parse: (text: string) => Value) =>
  (text: string): Value | 'none' =>
    text === 'none' ? text : parse(text);

/** The shortest that means the same: `50/s`. */
export function rateText({ limit, perMs }: Rate): string {
  const [unit, ms] = Object.entries(units).findLast(([, ms]) => perMs % ms === 0)!;
  return `${limit}/${perMs === ms ? '' : perMs / ms}${unit}`;
}
