import { setTimeout as sleep } from 'node:timers/promises';

/** A seeded die: the same history for the same seed, as far as the servers allow. */
export function createDice(seed: number) {
  let state = seed;
  const roll = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    roll,
    below: (n: number): number => Math.floor(roll() * n),
    chance: (p: number): boolean => roll() < p,
    wait: (msMax: number): Promise<void> => sleep(roll() * msMax),
  };
}

export type Dice = ReturnType<typeof createDice>;
