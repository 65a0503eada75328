import { setTimeout as sleep } from 'node:timers/promises';
import { defineHandler, type ItemContext, Retry } from '@bullpen/handlers';
import { eventually, texts } from '@bullpen/testkit';
import { describe, expect, it } from 'vitest';
import type { Held } from '../src/claims.ts';
import { createFigures } from '../src/figures.ts';
import type { Plan } from '../src/plans.ts';
import { runChunk } from '../src/run-chunk.ts';
import { createSlots } from '../src/slots.ts';
import { createTimeouts } from '../src/timeouts.ts';
import { createMarks } from '../src/watchdog/marks.ts';
import { heldOf, planOf as makePlan } from './plan.ts';

const held = (more: Partial<Held> = {}): Held => heldOf({ size: 4, ...more });
const planOf = (handler: object, timeoutMs = 100): Plan =>
  makePlan(defineHandler({ name: 'h', description: '', ...handler }), { maxAttempts: 2, backoffMs: 0, timeoutMs });
const deps = (more: object = {}) => ({
  slots: createSlots(100),
  figures: createFigures(),
  timeouts: createTimeouts(),
  marks: createMarks(),
  sliceMs: 1000,
  outputMaxBytes: 10_000,
  sliceMaxBytes: 1_000_000,
  mayStart: () => true,
  ...more,
});
const never = new Promise<never>(() => undefined);

describe('an item that takes longer than timeoutMs', () => {
  it('has used an attempt, lets go of its slot, is told by its signal, and is not heard any more', async () => {
    const shared = deps({ slots: createSlots(1) });
    const late: (() => void)[] = [];
    const reasons: unknown[] = [];
    const run = (_: unknown, { index, signal }: ItemContext): unknown => {
      if (index % 2 === 0) return index;
      signal.addEventListener('abort', () => reasons.push((signal.reason as { code: string }).code));
      return new Promise((resolve) => late.push(() => resolve('too late')));
    };
    const first = await runChunk(held(), planOf({ run }), 1, shared);
    expect(first).toMatchObject({ succeeded: 2, outputs: texts([0, 2]), failures: [] });
    expect(first.rests).toMatchObject([{ first: 1, picks: [1, 3], attempt: 2, merge: '1:2:0:backoff' }]);
    expect(reasons).toEqual(['timeout', 'timeout']);
    expect(shared.slots.free).toBe(1);
    for (const answer of late) answer();
    await sleep(0);
    expect(shared.slots.free).toBe(1);
    const last = await runChunk(held({ attempt: 2 }), planOf({ run }), 1, shared);
    expect(last.failures).toMatchObject([{ index: 1, error: { code: 'timeout' } }, { index: 3 }]);
  });

  it('finds its signal aborted also when it looks only then', async () => {
    let context: ItemContext | null = null;
    const run = (_: unknown, ctx: ItemContext): unknown => ((context = ctx), never);
    await runChunk(held({ size: 1 }), planOf({ run }), 1, deps());
    expect(context!.signal.aborted).toBe(true);
  });

  it('does not keep younger ones from their time', async () => {
    const run = (_: unknown, { index }: ItemContext): unknown => (index === 0 ? never : sleep(20 * index, index));
    const settled = await runChunk(held({ size: 6 }), planOf({ run }, 800), 1, deps());
    expect(settled.outputs).toBe(texts([1, 2, 3, 4, 5]));
  });

  it('in a call for all of them is tried again alone, since nobody knows which it was', async () => {
    const signals: boolean[] = [];
    const runAll = (_: unknown, contexts: ItemContext[]): unknown => {
      for (const { signal } of contexts) signal.addEventListener('abort', () => signals.push(signal.aborted));
      return never;
    };
    const settled = await runChunk(held(), planOf({ runChunk: runAll }), 1, deps());
    expect(settled.rests.map(({ first, size, attempt, merge }) => [first, size, attempt, merge])).toEqual(
      [0, 1, 2, 3].map((index) => [index, 1, 2, undefined]),
    );
    expect(signals).toEqual([true, true, true, true]);
    const last = await runChunk(held({ size: 1, attempt: 2 }), planOf({ runChunk: runAll }), 1, deps());
    expect(last.failures).toMatchObject([{ index: 0, error: { code: 'timeout' } }]);
  });
});

describe('a cancelled batch', () => {
  it('tells its open items, and those that ask later', async () => {
    const shared = deps();
    let asked = 0;
    const run = (_: unknown, { signal }: ItemContext): unknown =>
      new Promise((_, reject) => {
        asked += 1;
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    const plan = planOf({ run }, 60_000);
    const running = runChunk(held({ attempt: 2 }), plan, 1, shared);
    await eventually('all have started', () => asked === 4);
    shared.timeouts.cancel(2, new Error('another one'));
    plan.scope.cancelled = new Error('cancelled');
    shared.timeouts.cancel(1, plan.scope.cancelled);
    expect((await running).failures.map(({ error }) => error.message)).toEqual(Array(4).fill('cancelled'));
    const sync = (_: unknown, { signal }: ItemContext): unknown => signal.aborted;
    plan.handler = planOf({ run: sync }).handler;
    expect(await runChunk(held({ size: 1 }), plan, 1, shared)).toMatchObject({ outputs: texts([true]) });
  });
});

describe('rests', () => {
  it('of one cause share a wait: the backoff, or what was asked for up to 250 ms', async () => {
    const run = (_: unknown, { index }: ItemContext): unknown => {
      if (index % 3 === 0) throw new Error('plain');
      if (index % 3 === 1) throw new Retry({ afterMs: 501 + index });
      return index;
    };
    const plan = { ...planOf({ run }), backoffMs: 1000 };
    const { rests } = await runChunk(held({ size: 90, crashes: 1 }), plan, 1, deps());
    expect(rests.map(({ size, merge }) => [size, merge])).toEqual([
      [30, '1:2:1:backoff'],
      [30, '1:2:1:750'],
    ]);
  });

  it('point only to the inputs that they need', async () => {
    const inputs = [0, 10, 20, 30].map((first) => ({ first, items: `[${Array(10).fill(first).join(',')}]` }));
    const picks = [1, 12, 13, 29, 31];
    const run = (input: unknown): unknown => {
      if (input === 10 || input === 30) throw new Error('no');
      return input;
    };
    const settled = await runChunk(held({ first: 1, size: 5, picks, inputs }), planOf({ run }), 1, deps());
    expect(settled.outputs).toBe(texts([0, 20]));
    expect(settled.rests).toMatchObject([{ picks: [12, 13, 31], srcs: [10, 30], bytes: inputs[1]!.items.length * 2 }]);
  });
});
