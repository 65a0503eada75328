import { setTimeout as sleep } from 'node:timers/promises';
import { defineHandler, Fail, type Handler, Retry } from '@bullpen/handlers';
import { eventually, texts } from '@bullpen/testkit';
import { describe, expect, it } from 'vitest';
import { createFigures } from '../src/figures.ts';
import type { Plan } from '../src/plans.ts';
import { runChunk } from '../src/run-chunk.ts';
import { createSlots } from '../src/slots.ts';
import { createTimeouts } from '../src/timeouts.ts';
import { createMarks } from '../src/watchdog/marks.ts';
import { heldOf, planOf as makePlan } from './plan.ts';

const held = heldOf;

/** As after its first promise. */
const planOf = (handler: object): Plan => makePlan(handler as Handler, { takesSlots: true });

const deps = (more: object = {}) => ({
  slots: createSlots(4),
  figures: createFigures(),
  timeouts: createTimeouts(),
  marks: createMarks(),
  sliceMs: 1000,
  outputMaxBytes: 10_000,
  sliceMaxBytes: 1_000_000,
  mayStart: () => true,
  ...more,
});
const handler = (run: (input: never, ctx: { index: number; attempt: number }) => unknown) =>
  planOf(defineHandler({ name: 'h', description: '', run: run as never }));

const hostile = (): unknown => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};

describe('runChunk', () => {
  it('runs synchronous items in order, without gaps', async () => {
    const settled = await runChunk(
      held({ first: 5, size: 3 }),
      handler((_, ctx) => ctx.index),
      1,
      deps(),
    );
    expect(settled).toMatchObject({ succeeded: 3, outputs: texts([5, 6, 7]), indexes: null, failures: [], rests: [] });
  });

  it('keeps each output with its index when promises settle out of order', async () => {
    const settled = await runChunk(
      held({ size: 6 }),
      handler(async (_, ctx) => (await sleep(10 - ctx.index), ctx.index)),
      1,
      deps(),
    );
    expect(settled.outputs).toBe(texts([0, 1, 2, 3, 4, 5]));
  });

  it('holds no more than the slots allow', async () => {
    let open = 0;
    let most = 0;
    const plan = handler(async () => {
      open += 1;
      most = Math.max(most, open);
      await sleep(5);
      open -= 1;
    });
    const shared = deps({ slots: createSlots(3) });
    await Promise.all([runChunk(held(), plan, 1, shared), runChunk(held(), plan, 2, shared)]);
    expect(most).toBe(3);
    expect(shared.slots.free).toBe(3);
  });

  it('takes inputs from their place, also for picks of a rest', async () => {
    const plan = handler((input) => input);
    const settled = await runChunk(
      held({ first: 21, size: 2, picks: [21, 23], inputs: [{ first: 20, items: '["a","b","c","d"]' }] }),
      plan,
      1,
      deps(),
    );
    expect(settled).toMatchObject({ outputs: texts(['b', 'd']), indexes: [21, 23] });
  });

  it('does not parse the inputs of a handler that ignores them', async () => {
    const plan = planOf(
      defineHandler({ name: 'h', description: '', ignoresInput: true, run: (input) => ({ input: input ?? null }) }),
    );
    const settled = await runChunk(held({ size: 2, inputs: [{ first: 0, items: 'no JSON' }] }), plan, 1, deps());
    expect(settled.outputs).toBe(texts([0, 1].map(() => ({ input: null }))));
  });

  it('counts undefined as acknowledged, without a row', async () => {
    const settled = await runChunk(
      held({ size: 4 }),
      handler((_, ctx) => (ctx.index % 2 === 0 ? undefined : ctx.index)),
      1,
      deps(),
    );
    expect(settled).toMatchObject({ succeeded: 4, outputs: texts([1, 3]), indexes: [1, 3] });
  });

  it('tries again what was thrown, later for Retry, and never for Fail', async () => {
    const plan = handler((_, ctx) => {
      if (ctx.index === 1) throw new Error('again');
      if (ctx.index === 2) throw new Retry({ afterMs: 60_000 });
      if (ctx.index === 3) throw new Fail('bad', 'never');
      return 1;
    });
    const settled = await runChunk(held({ size: 4 }), plan, 1, deps());
    expect(settled.failures).toEqual([{ index: 3, error: { code: 'bad', message: 'never' } }]);
    const [soon, later] = [...settled.rests].sort((a, b) => a.delayMs - b.delayMs);
    expect(soon).toMatchObject({ first: 1, size: 1, attempt: 2 });
    expect(soon!.delayMs).toBeGreaterThanOrEqual(500);
    expect(soon!.delayMs).toBeLessThanOrEqual(1000);
    expect(later).toMatchObject({ first: 2, size: 1, attempt: 2, delayMs: 60_000 });
  });

  it('fails after the last attempt', async () => {
    const settled = await runChunk(
      held({ size: 1, attempt: 3 }),
      handler(() => Promise.reject(new Error('no'))),
      1,
      deps(),
    );
    expect(settled).toMatchObject({
      succeeded: 0,
      failures: [{ index: 0, error: { code: 'error', message: 'no' } }],
      rests: [],
    });
  });

  it.each([
    ['undefined', undefined, 'undefined'],
    ['null', null, 'null'],
    ['a string', 'text', 'text'],
    ['a getter that throws', Object.defineProperty(new Error('x'), 'message', { get: () => { throw new Error('y'); } }), 'an error that cannot be read'],
  ])('takes %s for an error', async (_, thrown, message) => {
    const plan = handler(() => { throw thrown; });
    expect((await runChunk(held({ size: 1, attempt: 3 }), plan, 1, deps())).failures).toMatchObject([{ error: { message } }]);
  }); // prettier-ignore

  it('fails outputs that cannot be stored alone', async () => {
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    const outputs = [1, cycle, 10n, 'x'.repeat(20_000), () => 1, Symbol('s'), { fine: true }];
    const settled = await runChunk(
      held({ size: 7 }),
      handler((_, ctx) => outputs[ctx.index]),
      1,
      deps(),
    );
    expect(settled).toMatchObject({ succeeded: 2, outputs: texts([1, { fine: true }]), indexes: [0, 6] });
    expect(
      settled.failures.map((each) => [each.index, each.error.code]).sort((a, b) => Number(a[0]) - Number(b[0])),
    ).toEqual([
      [1, 'output-not-json'],
      [2, 'output-not-json'],
      [3, 'output-too-large'],
      [4, 'output-not-json'],
      [5, 'output-not-json'],
    ]);
  });

  it('gives back what it did not start when the slice is over', async () => {
    const settled = await runChunk(
      held({ size: 100 }),
      handler(() => sleep(20)),
      1,
      deps({ sliceMs: 50, slots: createSlots(2) }),
    );
    const [rest] = settled.rests;
    expect(settled.rests).toHaveLength(1);
    expect(rest).toMatchObject({ picks: null, attempt: 1, delayMs: 0, first: settled.succeeded });
    expect(settled.succeeded + rest!.size).toBe(100);
    expect(settled.succeeded).toBeGreaterThan(0);
  });

  it('ends a slice when its outputs are enough for a flush', async () => {
    const settled = await runChunk(
      held({ size: 100 }),
      handler(() => 'x'.repeat(1000)),
      1,
      deps({ sliceMaxBytes: 10_000 }),
    );
    expect(settled).toMatchObject({ succeeded: 10, rests: [{ first: 10, size: 90, attempt: 1 }] });
  });

  it.each([
    [1e18, 86_400_000],
    [-5, 0],
  ])('waits for Retry({ afterMs: %d }) within a day', async (afterMs, delayMs) => {
    const plan = handler(() => {
      throw new Retry({ afterMs });
    });
    expect((await runChunk(held({ size: 1 }), plan, 1, deps())).rests).toMatchObject([{ delayMs, attempt: 2 }]);
  });

  it.each([
    [
      'thrown',
      () => {
        throw hostile();
      },
    ],
    ['rejected', () => Promise.reject(hostile())],
  ])('takes a value on which every look throws, %s', async (_, run) => {
    const shared = deps({ slots: createSlots(1) });
    const settled = await runChunk(held({ size: 2, attempt: 3 }), handler(run), 1, shared);
    expect(settled.failures).toMatchObject([{ error: { message: 'an error that cannot be read' } }, { index: 1 }]);
    expect(shared.slots.free).toBe(1);
  });

  it('lets others work every 20 ms while items are synchronous', async () => {
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 1);
    const spin = (): void => { const until = performance.now() + 2; while (performance.now() < until); }; // prettier-ignore
    await runChunk(held({ size: 60 }), handler(spin), 1, deps());
    clearInterval(timer);
    expect(turns).toBeGreaterThanOrEqual(3);
  });

  it('goes back at once when it may start nothing more, though an older chunk has all slots', async () => {
    let closing = false;
    let finish!: () => void;
    const slots = createSlots(1);
    const held1 = new Promise<void>((resolve) => (finish = resolve));
    const older = runChunk(held({ size: 1 }), handler(() => held1), 1, deps({ slots })); // prettier-ignore
    const younger = runChunk(held({ size: 5 }), handler(() => held1), 2, deps({ slots, mayStart: () => !closing })); // prettier-ignore
    closing = true;
    slots.dismiss();
    expect(await younger).toMatchObject({ succeeded: 0, rests: [{ first: 0, size: 5, attempt: 1 }] });
    finish();
    expect(await older).toMatchObject({ succeeded: 1 });
    expect(slots.free).toBe(1);
  });

  it('runs items that are over at once while others have all slots, and is one too many with its first promise', async () => {
    const slots = createSlots(1);
    slots.take();
    const plan = { ...handler((_, { index }) => (index < 3 ? index : sleep(1, index))), takesSlots: false };
    const running = runChunk(held({ size: 5 }), plan, 1, deps({ slots }));
    await eventually('the first promise', () => slots.free === -1);
    slots.release();
    expect(await running).toMatchObject({ succeeded: 5, rests: [] });
    expect(slots.free).toBe(1);
  });

  it('counts its slice from its first item, not from when it began to wait for a slot', async () => {
    const slots = createSlots(1);
    let finish!: () => void;
    const older = runChunk(held({ size: 1 }), handler(() => new Promise<void>((resolve) => (finish = resolve))), 1, deps({ slots })); // prettier-ignore
    const younger = runChunk(held({ size: 3 }), handler((_, { index }) => sleep(1, index)), 2, deps({ slots, sliceMs: 50 })); // prettier-ignore
    await sleep(80);
    finish();
    expect(await younger).toMatchObject({ succeeded: 3, rests: [] });
    await older;
  });

  it('starts nothing when it may not', async () => {
    const settled = await runChunk(
      held({ size: 5 }),
      handler(() => 1),
      1,
      deps({ mayStart: () => false }),
    );
    expect(settled).toMatchObject({ succeeded: 0, outputs: '', rests: [{ first: 0, size: 5, attempt: 1 }] });
  });

  it('runs a chunk at once where the handler wants it, and an Error concerns its item alone', async () => {
    const plan = planOf(
      defineHandler({
        name: 'h',
        description: '',
        runChunk: (_, ctx) => ctx.map(({ index }) => (index === 1 ? new Fail('bad', 'one') : index)),
      }),
    );
    const settled = await runChunk(held({ size: 3 }), plan, 1, deps());
    expect(settled).toMatchObject({
      succeeded: 2,
      outputs: texts([0, 2]),
      indexes: [0, 2],
      failures: [{ index: 1, error: { code: 'bad' } }],
    });
    const short = planOf(defineHandler({ name: 'h', description: '', runChunk: () => [1] }));
    expect((await runChunk(held({ size: 3 }), short, 1, deps())).failures).toHaveLength(3);
  });
});
