import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCaches, defineHandler } from '@bullpen/handlers';
import { createLog } from '@bullpen/runtime';
import { databaseForTest } from '@bullpen/testkit';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFigures } from '../src/figures.ts';
import { openGate } from '../src/limits/gate.ts';
import { createLimits } from '../src/limits/limits.ts';
import type { Plan } from '../src/plans.ts';
import { runChunk } from '../src/run-chunk.ts';
import { createSlots } from '../src/slots.ts';
import { createTimeouts } from '../src/timeouts.ts';
import { createMarks } from '../src/watchdog/marks.ts';

const log = createLog({ name: 'test', level: 'silent', pretty: false });

/** A worker with one slot, and chunks of a batch in it that goes by `options`, beside those of one that nothing limits. */
async function openWorker(options: object) {
  const { statements } = await databaseForTest();
  const slots = createSlots(1);
  const limits = createLimits({ statements, workerId: randomUUID(), handlers: ['h'], leaseMs: 2000, slots, log });
  onTestFinished(() => limits.close());
  const accepted = { id: randomUUID(), name: null, handler: 'h', total: 1000, params: null };
  const batch = await statements.acceptCount({ ...accepted, options: JSON.stringify(options) }, 10);
  const gate = limits.gateOf(batch, 'h');
  await limits.freshen(batch);
  const deps = {
    slots,
    figures: createFigures(),
    timeouts: createTimeouts(),
    marks: createMarks(),
    outputMaxBytes: 10_000,
    sliceMaxBytes: 1_000_000,
    mayStart: () => true,
  };
  const planOf = (run: () => unknown, limited: boolean): Plan => ({
    batch: 1,
    row: { no: 1, id: 'b', handler: 'h', params: null, options: {}, ageMs: 0 },
    handler: defineHandler({ name: 'h', description: '', run }),
    scope: { batchId: 'b', params: undefined, seed: 1, log, caches: createCaches(), cancelled: null },
    maxAttempts: 3,
    backoffMs: 1000,
    timeoutMs: 300_000,
    stopped: false,
    cancel: () => undefined,
    broken: null,
    group: null,
    takesSlots: false,
    gate: limited ? gate : openGate,
  });
  const chunk = {
    no: 1,
    batch: 1,
    first: 0,
    picks: null,
    attempt: 1,
    crashes: 0,
    format: 1,
    taken: true,
    inputs: [],
    claim: 'c',
  };
  const run = (plan: Plan, order: number, size: number, sliceMs = 60_000) =>
    runChunk({ ...chunk, size }, plan, order, { ...deps, sliceMs });
  return { gate, slots, run, planOf };
}

describe('a chunk of a limited batch', () => {
  it('starts what needs no slot while another batch has all of them', async () => {
    const { run, planOf } = await openWorker({ rateLimit: { limit: 100, perMs: 1000 } });
    const other = planOf(() => sleep(3), false);
    const beside = run(other, 1, 1_000_000);
    const { succeeded } = await run(
      planOf(() => 1, true),
      2,
      10,
      2000,
    );
    other.stopped = true;
    expect(succeeded).toBe(10);
    expect((await beside).rests).toHaveLength(1);
  });
});
