import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { defineHandler, ItemContext, Retry } from '@bullpen/handlers';
import { createLog } from '@bullpen/runtime';
import { databaseForTest, eventually } from '@bullpen/testkit';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAway } from '../src/away.ts';
import { createFigures } from '../src/figures.ts';
import { type ItemAnswer, type ItemOrder, runItemAlone } from '../src/isolation/item.ts';
import { runItem } from '../src/isolation/run-item.ts';
import { createLimits } from '../src/limits/limits.ts';
import { createHand } from '../src/lines/hand.ts';
import type { Held } from '../src/lines/line.ts';
import type { Row } from '../src/lines/row.ts';
import { createSignal } from '../src/lines/signal.ts';
import { createStarting } from '../src/lines/starting.ts';
import type { Plan, Plans } from '../src/plans.ts';
import { openRun } from '../src/run.ts';
import { runChunk } from '../src/run-chunk.ts';
import { createSlots } from '../src/slots.ts';
import { createTimeouts } from '../src/timeouts.ts';
import { createMarks } from '../src/watchdog/marks.ts';
import { heldOf, planOf as makePlan } from './plan.ts';

const log = createLog({ name: 'test', level: 'silent', pretty: false });

/** A worker with one slot, and chunks of a batch in it that goes by `options`, beside those of one that nothing limits. */
async function openWorker(options: object, isFresh = true) {
  const { statements } = await databaseForTest();
  const slots = createSlots(1);
  const limits = createLimits({ statements, workerId: randomUUID(), handlers: ['h'], leaseMs: 2000, slots, log });
  onTestFinished(() => limits.close());
  const accepted = { id: randomUUID(), name: null, handler: 'h', total: 1000, params: null };
  const batch = await statements.acceptCount({ ...accepted, options: JSON.stringify(options) }, 10);
  const gate = limits.gateOf(batch, 'h');
  if (isFresh) await limits.freshen(batch);
  const deps = {
    slots,
    figures: createFigures(),
    timeouts: createTimeouts(),
    marks: createMarks(),
    outputMaxBytes: 10_000,
    sliceMaxBytes: 1_000_000,
    mayStart: () => true,
  };
  const planOf = (run: () => unknown, limited: boolean): Plan =>
    makePlan(defineHandler({ name: 'h', description: '', run }), limited ? { gate } : {});
  const run = (plan: Plan, order: number, size: number, sliceMs = 60_000) =>
    runChunk(heldOf({ size }), plan, order, { ...deps, sliceMs });
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

  it('counts what it was given and could not start among what it would start', async () => {
    const { run, planOf } = await openWorker({ rateLimit: { limit: 1_000_000, perMs: 1000 } });
    const handled = planOf(() => sleep(5), true);
    // Until the first of them answers a promise nothing says that they need a slot, of which there is one.
    expect(await run(handled, 1, 5, 3000)).toMatchObject({ succeeded: 5, rests: [] });
  });

  it('keeps a slot that it was given until it is told whether it has a permit', async () => {
    const { run, planOf } = await openWorker({ concurrency: 1 });
    const own = planOf(() => sleep(1), true);
    expect((await run(own, 1, 1)).succeeded).toBe(1);
    const other = planOf(() => sleep(20), false);
    const beside = run(other, 2, 1_000_000);
    expect((await run(own, 1, 3)).succeeded).toBe(3);
    other.stopped = true;
    await beside;
  });

  it('leaves a slot to others that it was given and cannot use yet', async () => {
    const { run, planOf } = await openWorker({ rateLimit: { limit: 1, perMs: 3_600_000 } });
    const own = planOf(() => sleep(1), true);
    expect((await run(own, 1, 1)).succeeded).toBe(1);
    const other = planOf(() => sleep(5), false);
    // Each time that an item of the other is over the slot is first given to the one that may not start.
    const beside = run(other, 2, 10).then(({ succeeded }) => succeeded);
    const waits = run(own, 1, 1).then(() => 'it gave up');
    expect(await Promise.race([beside, waits])).toBe(10);
    own.stopped = true;
    await waits;
  });
});

describe('an item that waits inside its handler', () => {
  it('leaves the slot to others that it is given when it is over', async () => {
    const { slots, planOf } = await openWorker({});
    const run = openRun(
      heldOf({ size: 1 }),
      planOf(() => 1, false),
      1000,
    );
    run.open.set(0, new ItemContext(run.plan.scope, 0, 1));
    run.startedAt = new Float64Array(1);
    const away = createAway(run, slots);
    slots.take();
    away.leave(0);
    slots.take();
    const back = away.enter(0);
    const other = slots.wait(2, () => false);
    run.open.delete(0);
    away.end(0);
    slots.release();
    await Promise.all([back, other]);
  }, 10_000);
});

describe('a line', () => {
  it('takes no start while all its items wait for their group', async () => {
    const { gate } = await openWorker({ rateLimit: { limit: 1, perMs: 3_600_000 } });
    const hand = createHand<Row>({ keyOf: () => 'a', groupMax: 1, ordered: true });
    hand.add({ size: 2, next: 0, dueAt: new Map() } as unknown as Row);
    const held = { hand, line: { order: 1 }, plan: { gate }, signal: createSignal() } as unknown as Held;
    const starting = createStarting(held, () => false);
    const first = hand.take(performance.now())!;
    hand.hold(first);
    expect(hand.take(performance.now())).toBeNull();
    for (let look = 0; look < 50; look += 1) {
      const now = performance.now();
      if (starting.may(now)) expect(hand.take(now)).toBeNull();
      await sleep(5);
    }
    hand.free(first, performance.now());
    await eventually('the other may start', () => starting.may(performance.now()), 2000);
    expect(hand.take(performance.now())).not.toBeNull();
    starting.end();
  });
});

describe('an item in a process of its own', () => {
  it('goes by what limits its batch, and makes all wait when it says so', async () => {
    const { gate, planOf } = await openWorker({ rateLimit: { limit: 10, perMs: 1000 } }, false);
    const seen: boolean[] = [];
    const plan = planOf(() => {
      seen.push(gate.limited);
      throw new Retry({ afterMs: 3000, forAll: true });
    }, true);
    const plans = { open: () => Promise.resolve(plan) } as unknown as Plans;
    const marks = createMarks();
    const pool = {
      ask: ({ order, resolve }: { order: ItemOrder; resolve: (fate: 'over', answer: ItemAnswer) => void }) =>
        void runItem(order, { plans, marks, outputMaxBytes: 1000 }).then((answer) => resolve('over', answer)),
      kill: () => undefined,
    };
    const order = { row: plan.row, input: null, context: new ItemContext(plan.scope, 0, 1) };
    await expect(runItemAlone(order, pool)).rejects.toMatchObject({ afterMs: 3000, forAll: true });
    expect(seen).toEqual([true]);
  });
});
