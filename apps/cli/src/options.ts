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
  const source = text.startsWith('@') ? text.slice(1) : null;
  return parseJson(source === null ? text : await readText(context, name, source), `${name} ${source ?? ''}`.trim());
}

/** The array of inputs in a JSON file, or in what comes on stdin when the path is `-`. */
export async function inputsFrom(context: Context, path: string): Promise<unknown[]> {
  const what = path === '-' ? 'stdin' : path;
  const inputs = parseJson(await readText(context, '--inputs', path), what);
  if (Array.isArray(inputs)) return inputs;
  throw new Failure(`${what} must hold a JSON array, one element for each item: [{"a": 1}, {"a": 2}]`, exitCode.usage);
}

async function readText({ stdin, folder }: Context, option: string, path: string): Promise<string> {
  if (path === '-') return textOf(stdin);
  try {
    return await readFile(resolve(folder, path), 'utf8');
  } catch (error) {
    throw new Failure(`${option} cannot read ${path}: ${messageOf(error)}`, exitCode.usage);
  }
}

async function textOf(stream: AsyncIterable<Buffer | string>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString('utf8');
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Failure(`${what} is not JSON: ${messageOf(error)}`, exitCode.usage);
  }
}
