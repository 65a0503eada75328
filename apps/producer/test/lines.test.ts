import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HttpProblem } from '../src/http/problem.ts';
import { readLines } from '../src/intake/lines.ts';
import { readRows } from '../src/intake/rows.ts';

/** The bytes in parts that end at these offsets. */
async function* cut(bytes: Buffer, offsets: readonly number[]): AsyncGenerator<Buffer> {
  let from = 0;
  for (const to of [...offsets.map((each) => each % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    yield bytes.subarray(from, to);
    from = to;
  }
}

async function linesOf(bytes: Buffer, offsets: readonly number[] = [], lineMaxBytes = 1000): Promise<string[]> {
  const all: string[] = [];
  for await (const { lineOf, texts } of readLines(cut(bytes, offsets), { lineMaxBytes })) {
    expect(lineOf(0)).toBe(all.length + 1);
    all.push(...texts);
  }
  return all;
}

const problemOf = async (bytes: Buffer, offsets: readonly number[] = [], lineMaxBytes = 1000): Promise<HttpProblem> => {
  const error: unknown = await linesOf(bytes, offsets, lineMaxBytes).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(HttpProblem);
  return error as HttpProblem;
};

const lines = fc.array(
  fc.string({ unit: 'binary', maxLength: 20 }).map((text) => text.replaceAll(/[\n\r\ufeff]/g, '')),
);
const offsets = fc.array(fc.nat());

describe('readLines', () => {
  it('gives the same lines however the bytes were cut, with either kind of line end', () =>
    fc.assert(
      fc.asyncProperty(lines, offsets, fc.constantFrom('\n', '\r\n'), fc.boolean(), async (texts, at, end, ended) => {
        const text = texts.join(end) + (ended ? end : '');
        // What ends with a line feed has no line after it.
        const expected = text === '' ? [] : text.endsWith('\n') ? text.slice(0, -1).split('\n') : text.split('\n');
        expect(await linesOf(Buffer.from(text), at)).toEqual(expected.map((line) => line.replace(/\r$/, '')));
      }),
    ));

  it('leaves out a byte order mark at the start alone', async () => {
    expect(await linesOf(Buffer.from('\ufeff1\n\ufeff2'), [1, 2])).toEqual(['1', '\ufeff2']);
  });

  it('names the first byte of what is no UTF-8, wherever it stands', () =>
    fc.assert(
      fc.asyncProperty(
        lines,
        lines,
        offsets,
        fc.constantFrom([0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80]),
        async (before, after, at, bad) => {
          const head = Buffer.from(before.map((line) => `${line}\n`).join(''));
          const bytes = Buffer.concat([head, Buffer.from(bad), Buffer.from(`\n${after.join('\n')}`)]);
          const { slug, message } = await problemOf(bytes, at);
          expect(slug).toBe('malformed');
          expect(message).toContain(`at byte ${head.length} `);
        },
      ),
    ));

  it('refuses a line that is too long by its number, without reading on', async () => {
    const long = Buffer.from(`1\n22\n${'é'.repeat(30)}\n4\n`);
    for (const offsets of [[], [10], [3, 20, 40], [66]]) {
      const problem = await problemOf(long, offsets, 59);
      expect(problem).toMatchObject({ slug: 'too-large', message: 'Line 3 is longer than 59 bytes' });
      expect(await linesOf(long, offsets, 60)).toHaveLength(4);
    }
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) yield Buffer.alloc(1000, 'x');
    }
    const read = async (): Promise<void> => {
      for await (const _ of readLines(endless(), { lineMaxBytes: 100_000 })) continue;
    };
    await expect(read()).rejects.toMatchObject({ message: 'Line 1 is longer than 100000 bytes' });
  });
});

describe('readRows', () => {
  it('leaves nothing that waits on its parser, however often that was full', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    async function* rows(): AsyncGenerator<Buffer> {
      yield Buffer.from('a,b\n');
      for (let part = 0; part < 100; part += 1) yield Buffer.from(`${part},${'x'.repeat(90)}\n`.repeat(600));
    }
    let count = 0;
    const rules = {
      rowMaxBytes: 1000,
      readerOf: () => (cell: string) => JSON.stringify(cell),
      onColumns: () => undefined,
    };
    for await (const { texts } of readRows(rows(), rules)) count += texts.length;
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', onWarning);
    expect(count).toBe(60_000);
    expect(warnings.map(({ name }) => name)).toEqual([]);
  });
});
