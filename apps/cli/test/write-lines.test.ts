import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { writeLines } from '../src/write-lines.ts';

const many = async function* (count: number): AsyncGenerator<string> {
  for (let line = 0; line < count; line += 1) yield 'x'.repeat(1000);
};

/** Takes one write a turn, so that each one has to wait for `drain`. */
const slowReader = (onWrite: (this: Writable, chunk: Buffer) => void): Writable =>
  new Writable({
    highWaterMark: 1000,
    write(chunk: Buffer, _, done) {
      onWrite.call(this, chunk);
      setImmediate(done);
    },
  });

describe('writeLines', () => {
  test('waits for a slow reader and leaves no listener behind', async () => {
    let [bytes, writes, listeners] = [0, 0, 0];
    const reader = slowReader(function (chunk) {
      bytes += chunk.length;
      writes += 1;
      listeners = Math.max(listeners, this.listenerCount('close'), this.listenerCount('error'));
    });
    expect(await writeLines(reader, many(3000))).toBe(true);
    expect(bytes).toBe(3000 * 1001);
    expect(writes).toBeGreaterThan(20);
    expect(listeners).toBeLessThanOrEqual(2);
    expect(['close', 'drain', 'error'].map((event) => reader.listenerCount(event))).toEqual([0, 0, 0]);
  });

  test('ends where the reader goes away', async () => {
    let writes = 0;
    const reader = slowReader(function () {
      if ((writes += 1) === 5) this.destroy();
    });
    expect(await writeLines(reader, many(3000))).toBe(false);
    expect(writes).toBe(5);
  });
});
