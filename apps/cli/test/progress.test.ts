import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { openDisplay } from '../src/progress/display.ts';
import { barLine, batchLine, plainLine, type ProgressView } from '../src/progress/line.ts';
import { createRate } from '../src/progress/rate.ts';
import { uploadLine, type UploadView } from '../src/progress/upload.ts';

const view: ProgressView = {
  state: 'running',
  done: 45_000,
  total: 100_000,
  failed: 0,
  itemsPerSecond: 10_000,
  workers: 3,
  sealed: true,
  waits: null,
};

test('a batch of which nothing starts says why in place of its speed', () => {
  const line = plainLine({ ...view, state: 'paused', waits: 'paused (canary): pnpm bullpen resume last' });
  expect(line).toContain('45,000/100,000 · paused (canary): pnpm bullpen resume last');
  expect(line).not.toContain('items/s');
});

describe('the rate', () => {
  test('is that of the last two seconds, not of the whole time', () => {
    const rate = createRate();
    for (let at = 0; at <= 10_000; at += 250) rate.add(at, at < 5000 ? at : 5000 + (at - 5000) * 10);
    expect(rate.perSecond()).toBeCloseTo(10_000, 0);
  });

  test('is not known from one sample, nor from two that are too close', () => {
    const rate = createRate();
    rate.add(0, 0);
    expect(rate.perSecond()).toBeNull();
    rate.add(50, 1000);
    expect(rate.perSecond()).toBeNull();
    rate.add(250, 1000);
    expect(rate.perSecond()).toBe(4000);
  });

  test('evens out chunks that are flushed once a second', () => {
    const rate = createRate();
    for (let at = 0; at <= 8000; at += 250) rate.add(at, Math.floor(at / 1000) * 1000);
    expect(rate.perSecond()).toBeGreaterThan(800);
    expect(rate.perSecond()).toBeLessThan(1400);
  });

  test('falls to zero and not below when a retry takes items back', () => {
    const rate = createRate();
    rate.add(0, 1000);
    rate.add(1000, 900);
    expect(rate.perSecond()).toBe(0);
  });
});

describe('the line', () => {
  test('holds percent, counts, speed, time left and workers', () => {
    expect(plainLine(view)).toBe(' 45%  45,000/100,000 · 10,000 items/s · 5.5 s left · 3 workers');
  });

  test.each([20, 40, 60, 80, 120, 200])('fits a terminal of %d columns', (columns) => {
    expect(barLine({ ...view, failed: 1234 }, columns).length).toBeLessThan(columns);
  });

  test('draws the part that is done', () => {
    expect(barLine({ ...view, done: 50_000 }, 120)).toContain(`${'█'.repeat(15)}${'░'.repeat(15)}`);
    expect(barLine({ ...view, done: 0, total: 0 }, 120)).toContain('█'.repeat(30));
  });

  test('says what is missing when no worker runs, and the state when the batch does not run', () => {
    expect(plainLine({ ...view, workers: 0 })).toBe(' 45%  45,000/100,000 · no worker runs: pnpm worker');
    expect(plainLine({ ...view, state: 'paused', failed: 2 })).toBe(' 45%  45,000/100,000 · 2 failed · paused');
  });

  test('promises no end for a batch that takes more items', () => {
    expect(plainLine({ ...view, sealed: false })).not.toContain('left');
  });
});

describe('without a terminal', () => {
  test('there is a line at first, none within two seconds, and always the last one', () => {
    const stream = new PassThrough();
    const display = openDisplay(stream, batchLine);
    for (const done of [0, 10_000, 20_000]) display.show({ ...view, done });
    display.show({ ...view, done: 100_000, state: 'completed', itemsPerSecond: null });
    display.close();
    expect(String(stream.read()).trimEnd().split('\n')).toEqual([
      '  0%  0/100,000 · 10,000 items/s · 10 s left · 3 workers',
      '100%  100,000/100,000 · completed',
    ]);
  });
});

describe('an upload', () => {
  const sent: UploadView = {
    done: 12 * 1024 ** 2,
    total: 48 * 1024 ** 2,
    bytesPerSecond: 6 * 1024 ** 2,
    isOver: false,
  };

  test('has bytes, speed and time left', () => {
    expect(uploadLine.plain(sent)).toBe(' 25%  12 MB of 48 MB · 6.0 MB/s · 6.0 s left');
    expect(uploadLine.plain({ ...sent, total: null })).toBe('12 MB · 6.0 MB/s');
    expect(uploadLine.plain({ ...sent, done: sent.total! })).toBe('100%  48 MB of 48 MB · waiting for the answer');
    expect(uploadLine.bar(sent, 120)).toContain(' 25%  ███████░░░');
  });

  test.each([20, 60, 200])('fits a terminal of %d columns', (columns) => {
    expect(uploadLine.bar(sent, columns).length).toBeLessThan(columns);
    expect(uploadLine.bar({ ...sent, total: null }, columns).length).toBeLessThan(columns);
  });
});
