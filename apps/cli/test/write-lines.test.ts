import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { writeLines } from '../src/write-lines.ts';

const many = async function* (count: number): AsyncGenerator<string> {
  for (let line = 0; line < count; line += 1) yield 'x'.repeat(1000);
};

describe('writeLines', () => {
  test('waits for a slow reader and leaves no listener behind', async () => {
    const pipe = new PassThrough({ highWaterMark: 1000 });
    let [bytes, most] = [0, 0];
    pipe.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      most = Math.max(most, pipe.listenerCount('close'), pipe.listenerCount('drain'));
    });
    const before = pipe.listenerCount('close');
    expect(await writeLines(pipe, many(3000))).toBe(true);
    expect(bytes).toBe(3000 * 1001);
    expect(most - before).toBeLessThanOrEqual(1);
    expect(pipe.listenerCount('close')).toBe(before);
  });

  test('ends where the reader goes away', async () => {
    const pipe = new PassThrough({ highWaterMark: 1000 });
    setTimeout(() => pipe.destroy(), 50);
    expect(await writeLines(pipe, many(3000))).toBe(false);
  });
});
