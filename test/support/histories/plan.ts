import { createDice } from '@bullpen/testkit';
import fc from 'fast-check';

/** A keyed batch of a history: what it holds, and how it grows. */
export interface BatchPlan {
  items: number;
  keys: number;
  chunkSize: number;
  /** How long its longest groups take when nothing goes wrong, about. */
  spanMs: number;
  /** Shares of items that are tried again in place, that fail until they are retried by hand, and that have no key. */
  retried: number;
  failing: number;
  keyless: number;
  /** So many appends bring the second half of the items, one after the other; 0: all are there from the start. */
  appends: number;
}

/** What goes wrong, after so many ms since the one before it, and for how long. */
export interface FaultPlan {
  kind: (typeof faultKinds)[number];
  afterMs: number;
  forMs: number;
}

export interface History {
  seed: number;
  batches: BatchPlan[];
  faults: FaultPlan[];
}

const faultKinds = [
  'kill', 'freeze', 'blink', 'drain', 'join', 'forget', 'redis', 'postgres', 'pause', 'retry',
] as const; // prettier-ignore

const batches = fc.record<BatchPlan>({
  items: fc.integer({ min: 40, max: 400 }),
  keys: fc.constantFrom(1, 3, 10, 40, 150),
  chunkSize: fc.constantFrom(1, 3, 10, 40),
  spanMs: fc.integer({ min: 500, max: 4000 }),
  retried: fc.constantFrom(0, 0.03, 0.2),
  failing: fc.constantFrom(0, 0.02, 0.1),
  keyless: fc.constantFrom(0, 0, 0.1),
  appends: fc.constantFrom(0, 1, 5, 20),
});

const weighted = ['kill', 'kill', 'freeze', 'freeze', 'freeze', ...faultKinds] as const;

const faults = fc.record<FaultPlan>({
  kind: fc.constantFrom(...weighted),
  afterMs: fc.integer({ min: 0, max: 1200 }),
  forMs: fc.integer({ min: 0, max: 2500 }),
});

const histories = fc.record({
  batches: fc.array(batches, { minLength: 1, maxLength: 3 }),
  faults: fc.array(faults, { minLength: 2, maxLength: 4 }),
});

/** The same for the same seed. */
export function historyOf(seed: number): History {
  const [drawn] = fc.sample(fc.noBias(histories), { seed, numRuns: 1 });
  return { seed, ...drawn! };
}

export interface ItemInput {
  key?: string;
  ms: number;
  retries: number;
  waitMs: number;
  fails: boolean;
}

/** The items of a batch, the same for the same seed. */
export function inputsOf(plan: BatchPlan, seed: number): ItemInput[] {
  const dice = createDice(seed);
  const msMax = Math.min(200, Math.floor((2 * plan.spanMs * plan.keys) / plan.items));
  return Array.from({ length: plan.items }, () => ({
    ...(dice.chance(plan.keyless) ? {} : { key: `k${dice.below(plan.keys)}` }),
    ms: dice.below(msMax + 1),
    retries: dice.chance(plan.retried) ? 1 + dice.below(2) : 0,
    waitMs: dice.below(300),
    fails: dice.chance(plan.failing),
  }));
}
