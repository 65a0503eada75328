import type { UploadedChunk } from '@bullpen/db';
import { createGroupKey, lineOf } from '@bullpen/handlers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputTooLarge } from '../src/intake/chunk.ts';
import { cutterFor, linesFor } from '../src/intake/line-chunks.ts';

const indexesOf = ({ indexes }: UploadedChunk): readonly number[] => indexes!;
const inLine = (chunks: readonly UploadedChunk[], line: number): UploadedChunk[] =>
  chunks.filter((chunk) => chunk.line === line);

const inputs = fc.array(
  fc.oneof(
    fc.record({ k: fc.constantFrom('a', 'b', 'c', 1, '1', true, '', null, [], 'rare') }),
    fc.record({ x: fc.string({ maxLength: 30 }) }),
    fc.integer(),
  ),
  { maxLength: 120 },
);
const shapes = fc.record({
  partitions: fc.integer({ min: 1, max: 9 }),
  size: fc.integer({ min: 1, max: 8 }),
  maxBytes: fc.integer({ min: 60, max: 200 }),
  from: fc.nat({ max: 8 }),
});

describe('cutting a keyed batch into chunks', () => {
  test('keeps each item once, in the line of its key, which it fills in order, within the items and the bytes of a chunk', () => {
    const keyOf = createGroupKey('k');
    fc.assert(
      fc.property(inputs, shapes, fc.func(fc.boolean()), (items, { partitions, size, maxBytes, from }, looks) => {
        const lines = linesFor({ groupBy: 'k' }, partitions, from);
        const cutter = cutterFor({ sizeFor: () => size, maxBytes, lines });
        const chunks: UploadedChunk[] = [];
        for (const item of items) {
          cutter.push(JSON.stringify(item), item);
          if (looks(item)) chunks.push(...cutter.take());
        }
        chunks.push(...cutter.end());
        expect(chunks.flatMap(indexesOf).toSorted((a, b) => a - b)).toEqual([...items.keys()]);
        for (const chunk of chunks) {
          expect(chunk.first).toBe(indexesOf(chunk)[0]);
          expect(chunk.size).toBe(indexesOf(chunk).length);
          expect(chunk.size).toBeLessThanOrEqual(size);
          expect(Buffer.byteLength(chunk.items)).toBeLessThanOrEqual(maxBytes);
          expect(JSON.parse(chunk.items)).toEqual(indexesOf(chunk).map((index) => items[index]));
          for (const index of indexesOf(chunk)) {
            const key = keyOf(items[index]);
            expect(chunk.line).toBe(key === null ? (from + index) % partitions : lineOf(key, partitions));
          }
        }
        for (const line of Array.from({ length: partitions }, (_, no) => inLine(chunks, no))) {
          const indexes = line.flatMap(indexesOf);
          expect(indexes).toEqual(indexes.toSorted((a, b) => a - b));
          // A chunk that is not the last of its line ended because the next item would not have gone in.
          for (const [at, chunk] of line.slice(0, -1).entries()) {
            const next = JSON.stringify(items[line[at + 1]!.first]);
            if (chunk.size < size) expect(Buffer.byteLength(`${chunk.items},${next}`)).toBeGreaterThan(maxBytes);
          }
        }
      }),
    );
  });

  test('is sized by where a chunk begins, and names the item that fits none', () => {
    const sized: number[] = [];
    const lines = linesFor({ groupBy: 'k' }, 2)!;
    const cutter = cutterFor({ sizeFor: (first) => (sized.push(first), 2), maxBytes: 20, lines });
    const key = ['a', 'b', 'c', 'd', 'e'].find((each) => lineOf(each, 2) === 1)!;
    for (const k of [key, key, key]) cutter.push('1', { k });
    expect(sized).toEqual([0, 2]);
    expect(() => cutter.push(JSON.stringify('x'.repeat(17)), {})).toThrow(new InputTooLarge(3));
  });

  test('keeps no chunk open for long, however rare its group is', () => {
    const few = lineOf('rare', 4);
    const often = ['a', 'b', 'c', 'd', 'e', 'f'].find((key) => lineOf(key, 4) !== few)!;
    const cut = (items: number, text: string): UploadedChunk[] => {
      const cutter = cutterFor({
        sizeFor: () => 1000,
        maxBytes: 1 << 20,
        lines: linesFor({ groupBy: 'k' }, 4),
      });
      for (let at = 0; at < items; at += 1) cutter.push(text, { k: at % 1000 === 0 ? 'rare' : often });
      return cutter.end();
    };
    const rare = (chunks: UploadedChunk[]): number[][] => inLine(chunks, few).map((chunk) => [...indexesOf(chunk)]);
    for (const [span, chunks] of [
      [50_000, rare(cut(200_000, '1'))],
      [8192, rare(cut(30_000, `"${'x'.repeat(1022)}"`))],
    ] as const) {
      expect(chunks.length).toBeGreaterThan(3);
      for (const indexes of chunks) expect(indexes.at(-1)! - indexes[0]!).toBeLessThanOrEqual(span + 1000);
      // And none ends before that.
      for (const indexes of chunks.slice(0, -1)) expect(indexes.at(-1)! - indexes[0]!).toBeGreaterThan(span - 2000);
    }
  });
});
