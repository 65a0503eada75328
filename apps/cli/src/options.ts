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
