import { describe, expect, it } from 'vitest';
import { createWaiting } from '../src/limits/waiting.ts';

const never = (): boolean => false;

describe('those who wait for a time', () => {
  it('are woken lowest order first, and all of them though none of the woken says that it is done', async () => {
    let next = Infinity;
    const waiting = createWaiting(() => next);
    const woken: number[] = [];
    const all = [2, 1, 3].map((order) => waiting.wait(order, never).then(() => woken.push(order)));
    next = 0;
    waiting.poke();
    await Promise.all(all);
    expect(woken).toEqual([1, 2, 3]);
  });
});
