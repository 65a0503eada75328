import { createDice } from '@bullpen/testkit';

/** What goes wrong in a soak. */
export const faultKinds = [
  'worker killed', 'worker frozen', 'worker restarted', 'worker joins and leaves',
  'producer killed', 'producer frozen', 'producer restarted',
  'redis killed', 'redis frozen', 'redis emptied',
  'postgres killed', 'postgres stopped fast', 'postgres stopped at once', 'postgres frozen', 'postgres sessions ended',
  'way to postgres: hole', 'way to postgres: slow', 'way to postgres: reset', 'way to postgres: refused',
  'way to redis: hole', 'way to redis: slow', 'way to redis: reset', 'way to redis: refused',
] as const; // prettier-ignore

export type FaultKind = (typeof faultKinds)[number];

export interface PlannedFault {
  kind: FaultKind;
  /** After the one before it began. */
  afterMs: number;
  forMs: number;
  /** From 0 to 1: which of several it meets. */
  which: number;
}

/** Two faults begin so far apart, at least and at most: those that last overlap. */
const apartMs = { least: 2000, most: 9000 };
const lastsMaxMs = 4000;

/** The faults of a soak of so many ms: the same for the same seed. Each kind comes once before any comes twice. */
export function planOf(seed: number, lengthMs: number): PlannedFault[] {
  const dice = createDice(seed);
  const plan: PlannedFault[] = [];
  let left: FaultKind[] = [];
  for (let at = 0; ;) {
    if (left.length === 0) left = [...faultKinds];
    const [kind] = left.splice(dice.below(left.length), 1) as [FaultKind];
    const afterMs = apartMs.least + dice.roll() * (apartMs.most - apartMs.least);
    at += afterMs;
    if (at > lengthMs) return plan;
    plan.push({ kind, afterMs, forMs: dice.roll() * lastsMaxMs, which: dice.roll() });
  }
}
