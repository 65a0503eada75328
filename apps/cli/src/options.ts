import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import type { Context } from './context.ts';
import { Failure, exitCode, messageOf } from './failure.ts';

/** Parses `--limit 20`; separators are welcome in large numbers: `--count 1_000_000`, `--count 1e6`. */
export const wholeNumber =
  (min: number, max: number) =>
  (text: string): number => {
    const value = /^\d[\d_,]*(e\d)?$/i.test(text) ? Number(text.replaceAll(/[_,]/g, '')) : NaN;
    if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };

/** Parses a part of a whole: `0.05`, `5%`. */
export function part(text: string): number {
  const [, number, percent] = /^(\d+(?:\.\d+)?)(%?)$/.exec(text) ?? [];
  const value = Number(number) / (percent === '%' ? 100 : 1);
  if (value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError('It must be a part of all, from 0 to 1, or with %: 0.05, 5%.');
}

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Parses `--not-before`: a time with its zone, or how long from now: `90s`, `30m`, `8h`, `2d`. Answers ISO 8601 in UTC. */
export function startTime(text: string): string {
  const [, count, unit] = /^(\d+)([smhd])$/.exec(text) ?? [];
  const isZoned = /^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:\d\d)$/.test(text);
  const ms =
    unit !== undefined
      ? Date.now() + Number(count) * unitMs[unit as keyof typeof unitMs]
      : isZoned
        ? Date.parse(text)
        : NaN;
  if (Math.abs(ms) <= 8.64e15) return new Date(ms).toISOString();
  throw new InvalidArgumentError(
    'It must be a time with its zone, or from now: 2026-01-31T18:00:00Z, 90s, 30m, 8h, 2d.',
  );
}

/** JSON from the command line, or with `@file` from a file. */
export async function jsonOption(context: Context, name: string, text: string): Promise<unknown> {
  if (!text.startsWith('@')) return parseJson(text, name);
  const path = text.slice(1);
  const found = await readFile(resolve(context.folder, path), 'utf8').catch((error: unknown) => {
    throw new Failure(`${name} cannot read ${path}: ${messageOf(error)}`, exitCode.usage);
  });
  return parseJson(found, `${name} ${path}`);
}

export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Failure(`${what} is not JSON: ${messageOf(error)}`, exitCode.usage);
  }
}
