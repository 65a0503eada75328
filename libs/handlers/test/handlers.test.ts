import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineHandler, loadHandlers, runHandler } from '@bullpen/handlers';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import add from '../src/add.ts';
import echo from '../src/echo.ts';
import fail from '../src/fail.ts';

const folder = async (files: Record<string, string>): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'handlers-'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
  return path;
};

describe('runHandler', () => {
  it('runs without servers and in order', async () => {
    expect(
      await runHandler(add, [
        { a: 1, b: 2 },
        { a: 3, b: 4 },
      ]),
    ).toEqual([{ sum: 3 }, { sum: 7 }]);
  });

  it('refuses an input that the schema refuses', async () => {
    await expect(runHandler(add, [{ a: 'x', b: 2 }])).rejects.toThrow(/number/);
  });

  it('gives schema defaults to the handler', async () => {
    const handler = defineHandler({
      name: 'd',
      description: '',
      input: z.object({ n: z.number().default(3) }),
      run: (input) => input.n,
    });
    expect(await runHandler(handler, [{}])).toEqual([3]);
  });
});

describe('the handlers for trials', () => {
  it('echo answers input, params or the index', async () => {
    expect(await runHandler(echo, [null])).toEqual([null]);
    expect(await runHandler(echo, [undefined], { params: { x: 1 } })).toEqual([{ x: 1 }]);
    expect(await runHandler(echo, [undefined, undefined])).toEqual([{ index: 0 }, { index: 1 }]);
  });

  it('fail fails the asked share of items, the same ones for a seed', async () => {
    const failed = async (seed: number): Promise<number[]> => {
      const which: number[] = [];
      for (let index = 0; index < 400; index += 1) {
        const inputs = Array.from({ length: index + 1 }, () => undefined);
        const alone = {
          ...fail,
          run: (input: never, ctx: never) => ((ctx as { index: number }).index === index ? fail.run!(input, ctx) : {}),
        };
        await runHandler(alone as never, inputs, { params: { rate: 0.25 }, seed }).catch(() => which.push(index));
      }
      return which;
    };
    const first = await failed(7);
    expect(first.length).toBeGreaterThan(60);
    expect(first.length).toBeLessThan(140);
    expect(await failed(7)).toEqual(first);
    expect(await failed(8)).not.toEqual(first);
  });
});

describe('loadHandlers', () => {
  const good = `export default { name: 'one', description: '', run: () => 1 }`;

  it('loads every file of a folder', async () => {
    const catalog = await loadHandlers(['libs/handlers/src']);
    expect([...catalog.keys()].sort()).toEqual(['ack', 'add', 'echo', 'fail', 'simulate', 'sleep']);
    expect(catalog.has('constructor')).toBe(false);
  });

  it('says which files share a name', async () => {
    await expect(loadHandlers([await folder({ 'a.mjs': good, 'b.mjs': good })])).rejects.toThrow(
      /"one": .*a\.mjs and .*b\.mjs/,
    );
  });

  it('says which file has no handler, and what to write', async () => {
    await expect(loadHandlers([await folder({ 'a.mjs': 'export const x = 1' })])).rejects.toThrow(
      /a\.mjs has no handler: write "export default/,
    );
  });

  it('says which file cannot be loaded and which folder is missing', async () => {
    await expect(loadHandlers([await folder({ 'a.mjs': 'import "./no.mjs"' })])).rejects.toThrow(
      /a\.mjs cannot be loaded/,
    );
    await expect(loadHandlers(['/no/such'])).rejects.toThrow(/\/no\/such in HANDLERS cannot be read \(ENOENT\)/);
  });

  it('refuses what is not built yet, bad names, two ways to run and half a reduce', () => {
    expect(() => defineHandler({ name: 'x', description: '', run: () => 1, dryRun: {} } as never)).toThrow(
      /dryRun is not built yet/,
    );
    expect(() => defineHandler({ name: 'X y', description: '', run: () => 1 })).toThrow(/lower-case/);
    expect(() => defineHandler({ name: 'x', description: '' })).toThrow(/either run or runChunk/);
    const half = { zero: () => 0, add: () => 0 };
    expect(() => defineHandler({ name: 'x', description: '', run: () => 1, reduce: half } as never)).toThrow(
      /reduce needs merge/,
    );
  });
});
