import * as fc from 'fast-check';
import { isId, newId } from '@bullpen/api';
import { describe, expect, test } from 'vitest';
import { chunkSizeFor, createCutter, InputTooLarge } from '../src/intake/chunk.ts';
import { decodeCursor, encodeCursor } from '../src/http/cursor.ts';
import { findFault } from '../src/intake/json.ts';
import { within } from '../src/http/deadline.ts';
import { progressText } from '../src/http/status-page.ts';
import { problemFor } from '../src/http/trouble.ts';
import { decodeUtf8 } from '../src/intake/utf8.ts';
import { createWatcher } from '../src/http/watch.ts';

describe('cutting inputs into chunks', () => {
  test('keeps every input once and in order, within the items and the bytes of a chunk', () => {
    fc.assert(
      fc.property(
        fc.array(fc.json({ maxDepth: 1 }), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 2, max: 400 }),
        (texts, size, maxBytes) => {
          const cutter = createCutter({ sizeFor: () => size, maxBytes });
          const fits = (text: string): boolean => Buffer.byteLength(text) + 2 <= maxBytes;
          const large = texts.findIndex((text) => !fits(text));
          try {
            for (const text of texts) cutter.push(text);
          } catch (error) {
            expect(error).toBeInstanceOf(InputTooLarge);
            expect((error as InputTooLarge).index).toBe(large);
            return;
          }
          expect(large).toBe(-1);
          const chunks = cutter.end();
          expect(chunks.flatMap(({ items }) => JSON.parse(items) as unknown[])).toEqual(
            texts.map((text) => JSON.parse(text)),
          );
          let next = 0;
          for (const [at, chunk] of chunks.entries()) {
            expect(chunk.first).toBe(next);
            expect(chunk.size).toBeGreaterThan(0);
            expect(chunk.size).toBeLessThanOrEqual(size);
            expect((JSON.parse(chunk.items) as unknown[]).length).toBe(chunk.size);
            expect(Buffer.byteLength(chunk.items)).toBeLessThanOrEqual(maxBytes);
            next += chunk.size;
            // It ended because the next input would not have gone in.
            const following = texts[next];
            if (at < chunks.length - 1 && chunk.size < size)
              expect(Buffer.byteLength(`${chunk.items},${following}`)).toBeGreaterThan(maxBytes);
          }
        },
      ),
    );
  });

  test('a size that was asked for is taken to the letter; else small batches use all partitions', () => {
    const natural = fc.integer({ min: 1, max: 10_000 });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000_000 }),
        natural,
        fc.integer({ min: 1, max: 256 }),
        (total, normal, partitions) => {
          expect(chunkSizeFor({ total, asked: 33, normal, partitions, keyed: false })).toBe(33);
          const size = chunkSizeFor({ total, asked: undefined, normal, partitions, keyed: false });
          expect(size).toBeGreaterThanOrEqual(1);
          expect(size).toBeLessThanOrEqual(normal);
          // At least four chunks a partition, or one item a chunk, but for the rounding of the size.
          if (size < normal) expect(size).toBe(Math.ceil(total / (4 * partitions)));
        },
      ),
    );
    expect(chunkSizeFor({ total: 48, asked: undefined, normal: 1000, partitions: 12, keyed: false })).toBe(1);
    expect(chunkSizeFor({ total: 100_000, asked: undefined, normal: 1000, partitions: 12, keyed: false })).toBe(1000);
    expect(chunkSizeFor({ total: 48, asked: undefined, normal: 1000, partitions: 12, keyed: true })).toBe(1000);
  });
});

describe('the scan over JSON', () => {
  const safe = (text: string): boolean => findFault(text) === null;

  test('agrees with JSON.parse about what is JSON', () => {
    const parses = (text: string): boolean => {
      try {
        JSON.parse(text);
        return true;
      } catch {
        return false;
      }
    };
    const broken = fc.tuple(
      fc.json(),
      fc.nat(),
      fc.constantFrom('', ',', '"', '{', ']', '\\', '0', '-', 'e', 'null', ' ', '\n', '\u0001'),
    );
    fc.assert(
      fc.property(broken, ([text, at, put]) => {
        const place = at % (text.length + 1);
        const changed = text.slice(0, place) + put + text.slice(place + (at % 2));
        const fault = findFault(changed);
        if (fault === null) expect(parses(changed)).toBe(true);
        else if (fault.syntax) expect(parses(changed)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    '0',
    '-0',
    '9007199254740992',
    '-9007199254740991',
    '1e22',
    '0.1',
    '1e308',
    '10000000000000000000000',
    '123456789012345.678',
    '"9007199254740993"',
    '{"a":[{},[],"\\u0000\\ud800"]}',
  ])('takes %s', (text) => {
    expect(safe(text)).toBe(true);
  });

  test.each([
    '9007199254740993',
    '-9007199254740993',
    '1e400',
    '[1, -1e999]',
    `1${'0'.repeat(400)}`,
    '12345678901234567890123',
    '['.repeat(65) + ']'.repeat(65),
  ])('is JSON that is not taken: %s', (text) => {
    expect(findFault(text)).toMatchObject({ syntax: false });
  });

  test('counts depth, not braces in strings', () => {
    expect(safe('['.repeat(64) + ']'.repeat(64))).toBe(true);
    expect(safe(JSON.stringify('['.repeat(1000)))).toBe(true);
  });

  test('goes through 8 MiB of digits, of one string and of small items', () => {
    expect(safe(`"${'x'.repeat(8 << 20)}"`)).toBe(true);
    expect(findFault('1'.repeat(8 << 20))).toMatchObject({ syntax: false });
    expect(safe(`[${'{"a":1},'.repeat(1 << 20)}0]`)).toBe(true);
  });
});

test('invalid UTF-8 is named with the first byte of the sequence', () => {
  const at = (...bytes: number[]): string => {
    try {
      return decodeUtf8(Buffer.from(bytes));
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(at(0xef, 0xbb, 0xbf, 0x61)).toBe('a');
  expect(at(0x61, 0xff, 0x62)).toContain('byte 1 ');
  expect(at(0x61, 0x62, 0xc3, 0x28)).toContain('byte 2 ');
  expect(at(0x61, 0xe2, 0x82)).toContain('byte 1 ');
  expect(at(0xc3, 0xa9, 0x80)).toContain('byte 2 ');
  expect(at(0xc0, 0xaf)).toContain('byte 0 ');
});

test('a cursor belongs to its list and filter; anything else is nonsense', () => {
  const cursor = encodeCursor(['results', 'x', 'all'], 17);
  expect(decodeCursor(['results', 'x', 'all'], cursor)).toBe(17);
  for (const other of [
    ['results', 'y', 'all'],
    ['results', 'x', 'failed'],
    ['batches', '', '', 'batch'],
  ]) {
    expect(() => decodeCursor(other, cursor)).toThrow('not valid');
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(() => decodeCursor(['results', 'x', 'all'], text)).toThrow('not valid');
    }),
  );
  for (const position of [-1, 1.5, 2 ** 53, Number.NaN]) {
    expect(() => decodeCursor(['a'], encodeCursor(['a'], position))).toThrow('not valid');
  }
});

test('ids are UUID v7 and sort by time', () => {
  const ids = [1, 2, 3_000_000_000_000].map((now) => newId(now));
  expect(ids.every((id) => isId(id) && /^.{14}7.{4}[89ab]/.test(id))).toBe(true);
  expect([...ids].sort()).toEqual(ids);
  expect(new Set(Array.from({ length: 1000 }, () => newId())).size).toBe(1000);
});

test('progress is 100 % only at the end', () => {
  const counts = { total: 1000, pending: 1, running: 0, succeeded: 996, failed: 3, cancelled: 0 };
  expect(progressText({ counts } as Parameters<typeof progressText>[0])).toBe('999 of 1000 (99 %), 3 failed');
});

test('a database that is silent counts as away', async () => {
  const error: unknown = await within(20, new Promise(() => undefined)).catch((error: unknown) => error);
  expect(problemFor(error)).toMatchObject({ slug: 'unavailable', status: 503, headers: { 'Retry-After': '2' } });
  await expect(within(1000, Promise.resolve(7))).resolves.toBe(7);
});

describe('waiting for batches', () => {
  const nobodyLeaves = (): AbortSignal => new AbortController().signal;

  test('is one read for all, and only while somebody waits', async () => {
    const reads: (readonly string[])[] = [];
    const ended = (ids: readonly string[]): Promise<string[]> => {
      reads.push([...ids].sort());
      return Promise.resolve(reads.length < 2 ? [] : ['a']);
    };
    const watcher = createWatcher({ statements: { ended } });
    const short = watcher.wait('b', 250, nobodyLeaves());
    await Promise.all([watcher.wait('a', 5000, nobodyLeaves()), watcher.wait('a', 5000, nobodyLeaves())]);
    expect(reads).toEqual([['a', 'b'], ['a', 'b']]); // prettier-ignore
    expect(watcher.size()).toBe(1);
    await short;
    const before = reads.length;
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(reads.length - before).toBeLessThanOrEqual(1);
    expect(watcher.size()).toBe(0);
  });

  test('is told when the read fails, forgets who leaves, and is bounded', async () => {
    const ended = (): Promise<string[]> => Promise.reject(new Error('away'));
    const watcher = createWatcher({ statements: { ended } });
    const leaving = new AbortController();
    const left = watcher.wait('a', 5000, leaving.signal);
    leaving.abort();
    await left;
    expect(watcher.size()).toBe(0);
    const all = Array.from({ length: 1000 }, (_, i) => watcher.wait(String(i), 5000, nobodyLeaves()));
    expect(() => watcher.wait('one more', 5000, nobodyLeaves())).toThrow('Too many requests wait');
    expect((await Promise.allSettled(all)).every(({ status }) => status === 'rejected')).toBe(true);
    expect(watcher.size()).toBe(0);
  });
});
