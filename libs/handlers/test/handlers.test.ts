import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRandom, defineHandler, type Handler, loadHandlers, runHandler, summarize } from '@bullpen/handlers';
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

  it('gives no input to a handler that ignores it', async () => {
    const handler = defineHandler({ name: 'i', description: '', ignoresInput: true, run: (input) => input });
    expect(await runHandler(handler, [{ a: 1 }])).toEqual([undefined]);
  });

  it('runs dryRun alone where it is asked to', async () => {
    const ran: string[] = [];
    const handler = defineHandler({
      name: 'r',
      description: '',
      start: () => void ran.push('start'),
      runChunk: (inputs) => inputs.map(() => ran.push('runChunk')),
      dryRun: () => ran.push('dryRun'),
    });
    expect(await runHandler(handler, [1, 2], { dryRun: true })).toEqual([1, 2]);
    expect(ran).toEqual(['dryRun', 'dryRun']);
    const { dryRun: _dryRun, ...without } = handler;
    await expect(runHandler(without, [1], { dryRun: true })).rejects.toMatchObject({ code: 'no-dry-run' });
    expect(await runHandler(handler, [1])).toEqual([4]);
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

describe('random numbers of an item', () => {
  const draw = (seed: number, index: number): number => createRandom(seed, index)();

  it('depend on its seed and its index, also over 2^32', () => {
    const indexes = [0, 1, 7, 2 ** 31, 2 ** 32, 2 ** 32 + 7, 2 ** 33 + 7, 2 ** 53 - 1];
    expect(new Set([...indexes.map((index) => draw(1, index)), ...indexes.map((index) => draw(2, index))]).size).toBe(
      16,
    );
    expect(draw(1, 2 ** 32 + 7)).toBe(draw(1, 2 ** 32 + 7));
  });
});

describe('defineHandler', () => {
  const define = (more: object) => () => defineHandler({ name: 'h', description: '', run: () => 1, ...more });

  it('refuses a field that no handler has, and says where one of a batch belongs', () => {
    expect(define({ timeoutMs: 300 })).toThrow(
      'handler h: timeoutMs is no field of a handler; a batch says it, in its options',
    );
    expect(define({ retries: 3 })).toThrow(
      'handler h: retries is no field of a handler; it has name, description, input',
    );
    expect(define({ chunkSize: 5, threads: 64, start: () => undefined, ignoresInput: true })).not.toThrow();
  });

  it('refuses to check what is ignored', () => {
    expect(define({ ignoresInput: 1 })).toThrow('handler h: ignoresInput must be true or false');
    expect(define({ ignoresInput: true, input: z.string() })).toThrow('handler h: give either input or ignoresInput');
  });

  it.each([
    ['chunkSize', [0, 1.5, '5', 10_001, null], 10_000],
    ['threads', [0, 2.5, '2', 65, true, NaN], 64],
  ])('refuses %s that are no whole number within their bounds', (field, given, most) => {
    for (const value of given)
      expect(define({ [field]: value })).toThrow(`handler h: ${field} must be a whole number from 1 to ${most}`);
    for (const value of [1, most]) expect(define({ [field]: value })).not.toThrow();
  });
});

it('the example of docs/handlers.md is one', async () => {
  const [, text] = /```ts\n(.*?)```/s.exec(await readFile('docs/handlers.md', 'utf8'))!;
  const file = join(import.meta.dirname, `example-${process.pid}.ts`);
  await writeFile(file, text!);
  try {
    const { default: handler } = (await import(file)) as { default: Handler };
    const params = { discount: 0.5 };
    const outputs = await runHandler(
      handler,
      [
        { cents: 100, pieces: 3 },
        { cents: 50, pieces: 2 },
      ],
      { params },
    );
    expect(outputs).toEqual([{ total: 150 }, { total: 50 }]);
    expect(summarize(handler, outputs, { params })).toEqual({ orders: 2, total: 200, mean: 100 });
    await expect(runHandler(handler, [{ cents: 1, pieces: -1 }])).rejects.toThrow('-1 pieces');
    await expect(runHandler(handler, [{ cents: 1, pieces: 2000 }])).rejects.toMatchObject({ afterMs: 500 });
  } finally {
    await rm(file);
  }
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
    const names = ['ack', 'add', 'echo', 'fail', 'import-user', 'index-block', 'simulate', 'sleep'];
    expect([...catalog.keys()].sort()).toEqual(names);
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

  it('refuses a dryRun that is no function, bad names, two ways to run and half a reduce', () => {
    expect(() => defineHandler({ name: 'x', description: '', run: () => 1, dryRun: {} } as never)).toThrow(
      'handler x: dryRun must be a function',
    );
    expect(() => defineHandler({ name: 'X y', description: '', run: () => 1 })).toThrow(/lower-case/);
    expect(() => defineHandler({ name: 'x', description: '' })).toThrow(/either run or runChunk/);
    const half = { zero: () => 0, add: () => 0 };
    expect(() => defineHandler({ name: 'x', description: '', run: () => 1, reduce: half } as never)).toThrow(
      /reduce needs merge/,
    );
  });
});
