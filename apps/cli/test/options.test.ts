import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Context } from '../src/context.ts';
import { readArray } from '../src/input/array.ts';
import { findSource } from '../src/input/source.ts';
import { jsonOption, wholeNumber } from '../src/options.ts';

const contextIn = (folder: string, stdin = ''): Context => ({
  env: {},
  folder,
  stdin: Readable.from([Buffer.from(stdin)]),
  stdout: new PassThrough(),
  stderr: new PassThrough(),
  setExitCode: () => {},
});

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bullpen-cli-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

describe('a whole number', () => {
  test('may be written with separators or as a power of ten', () => {
    expect(['7', '1_000_000', '1,000', '1e6'].map(wholeNumber(1, 1e9))).toEqual([7, 1_000_000, 1000, 1_000_000]);
  });

  test.each(['', 'many', '-1', '1.5', '0', '1e9', '0x10', '1e99'])('is not %j', (text) => {
    expect(() => wholeNumber(1, 1000)(text)).toThrow('It must be a whole number from 1 to 1000.');
  });
});

describe('JSON', () => {
  test('stands on the command line, or in a file that starts where the user stands', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'params.json'), '{"ms": 5}');
    expect(await jsonOption(contextIn(folder), '--params', '{"ms": 4}')).toEqual({ ms: 4 });
    expect(await jsonOption(contextIn(folder), '--params', '@params.json')).toEqual({ ms: 5 });
  });

  test('that is none is told with its place, as wrong usage', async () => {
    await expect(jsonOption(contextIn('.'), '--params', '{ms: 4}')).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/^--params is not JSON: /),
    });
    await expect(jsonOption(contextIn('.'), '--params', '@missing.json')).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('cannot read missing.json'),
    });
  });
});

describe('inputs', () => {
  test('come from stdin too', async () => {
    expect(await readArray(await findSource(contextIn('.', '[{"a": 1}, 2]'), '-'))).toEqual([{ a: 1 }, 2]);
  });

  test('are an array', async () => {
    await expect(findSource(contextIn('.', '{"a": 1}'), '-').then(readArray)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('stdin must hold a JSON array'),
    });
  });
});
