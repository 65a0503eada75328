import { type BatchScope, createCaches, type Handler } from '@bullpen/handlers';
import type { Held } from '../src/claims.ts';
import { openGate } from '../src/limits/gate.ts';
import type { Plan } from '../src/plans.ts';

const log = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** A chunk of a count batch in a worker's hand. */
export const heldOf = (more: Partial<Held> = {}): Held => ({
  no: 1, batch: 1, first: 0, size: 10, picks: null, attempt: 1, crashes: 0, format: 1, taken: true, inputs: [], claim: 'c', ...more,
}); // prettier-ignore

/** What its items share: a batch that nothing limits. */
export const planOf = (
  handler: Handler,
  { scope, ...more }: Omit<Partial<Plan>, 'scope'> & { scope?: Partial<BatchScope<unknown>> } = {},
): Plan => ({
  batch: 1,
  row: { no: 1, id: 'b', handler: 'h', params: null, options: {}, ageMs: 0 },
  handler,
  scope: { batchId: 'b', params: undefined, seed: 1, log, caches: createCaches(), cancelled: null, ...scope },
  maxAttempts: 3,
  backoffMs: 1000,
  timeoutMs: 300_000,
  stopped: false,
  dropsOutputs: false,
  cancel: () => undefined,
  prepare: () => Promise.resolve(),
  broken: null,
  group: null,
  takesSlots: false,
  gate: openGate,
  ...more,
});
