import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createItemWatcher } from '../src/http/item-watch.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const forEver = new AbortController().signal;

function watched() {
  const looks: number[] = [];
  const began = performance.now();
  const settled = (items: readonly { index: number }[]) => {
    looks.push(performance.now() - began);
    // Items 100 and more are final at once.
    return Promise.resolve(items.flatMap(({ index }, at) => (index >= 100 ? [{ at, batch: 7 }] : [])));
  };
  return { looks, watcher: createItemWatcher({ statements: { settled } }) };
}

it('looks for an item soon, and for one that takes long each 50 ms, until its time is over', async () => {
  const { looks, watcher } = watched();
  const answer = watcher.wait({ batch: 'b', index: 1 }, 1000, forEver);
  await vi.advanceTimersByTimeAsync(2000);
  expect(await answer).toBeNull();
  expect(looks[0]).toBe(2);
  expect(looks.length).toBeLessThan(60);
  expect(looks.at(-1)! - looks.at(-2)!).toBe(50);
  expect(looks.at(-1)).toBeLessThan(1000);
});

it('looks soon for who joins one that has waited for long, and however many join', async () => {
  const { looks, watcher } = watched();
  void watcher.wait({ batch: 'b', index: 1 }, 10_000, forEver);
  await vi.advanceTimersByTimeAsync(3000);
  const before = looks.length;
  const joined: Promise<number | null>[] = [];
  for (let ms = 0; ms < 20; ms += 1) {
    joined.push(watcher.wait({ batch: 'b', index: 100 + ms }, 1000, forEver));
    await vi.advanceTimersByTimeAsync(1);
  }
  expect(looks.length - before).toBe(10);
  await vi.advanceTimersByTimeAsync(2);
  expect(await Promise.all(joined)).toEqual(joined.map(() => 7));
});
