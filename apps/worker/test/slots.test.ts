import { describe, expect, it } from 'vitest';
import { createSlots } from '../src/slots.ts';

const stays = (): boolean => false;

describe('a slot that somebody was told of', () => {
  it('is not free for who looks before that takes it, but for who comes first', async () => {
    const slots = createSlots(1);
    slots.take();
    const told = slots.wait(2, stays);
    slots.release();
    expect([slots.free, slots.isFreeFor(3), slots.isFreeFor(2), slots.isFreeFor(1)]).toEqual([1, false, false, true]);
    await told;
    slots.take();
    slots.release();
    await new Promise(setImmediate);
    expect(slots.isFreeFor(3)).toBe(true);
  });

  it('goes to who came to wait because of it, where it is not taken', async () => {
    const slots = createSlots(1);
    slots.take();
    const told = slots.wait(2, stays);
    slots.release();
    await told;
    await slots.wait(3, stays);
    expect(slots.free).toBe(1);
  });
});
