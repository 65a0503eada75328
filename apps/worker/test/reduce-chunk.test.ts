import type { Settled } from '@bullpen/db';
import { defineHandler, type Handler, type HandlerLog, type Reduce } from '@bullpen/handlers';
import { texts } from '@bullpen/testkit';
import { describe, expect, it } from 'vitest';
import { createFigures } from '../src/figures.ts';
import { createFlushes } from '../src/flushes.ts';
import { withoutGuilty } from '../src/guilty.ts';
import type { Plan } from '../src/plans.ts';
import { reduceChunk, refusalOf } from '../src/reduce-chunk.ts';
import { planOf as makePlan } from './plan.ts';

const sum: Reduce<{ n: number }, unknown, { sum: number; indexes: number[] }> = {
  zero: () => ({ sum: 0, indexes: [] }),
  add: (acc, output, index) => {
    acc.sum += output.n;
    if (output.n < 0) throw new Error('no debts');
    acc.indexes.push(index);
    return acc;
  },
  merge: (a, b) => ({ sum: a.sum + b.sum, indexes: [...a.indexes, ...b.indexes] }),
};

function planOf(reduce: object | undefined, told: object[] = []): Plan {
  const log: HandlerLog = { info: () => undefined, warn: () => undefined, error: (facts) => void told.push(facts) };
  const handler = defineHandler({ name: 'h', description: '', run: () => 1, ...(reduce && { reduce }) } as Handler);
  return makePlan(handler, { scope: { params: { p: 1 }, log } });
}

const settledOf = (outputs: unknown[], more: Partial<Settled> = {}): Settled => ({
  no: 1,
  claim: 'c',
  first: 10,
  succeeded: outputs.length,
  outputs: texts(outputs),
  indexes: null,
  failures: [],
  rests: [],
  ...more,
});

describe('reduceChunk', () => {
  it('leaves a chunk alone whose handler does not reduce', () => {
    const settled = settledOf([{ n: 1 }]);
    expect(reduceChunk(planOf(undefined), settled)).toBe(settled);
  });

  it('folds the outputs with their indexes, as JSON gives them back', () => {
    expect(reduceChunk(planOf(sum), settledOf([{ n: 1 }, { n: 2 }])).partial).toBe('{"sum":3,"indexes":[10,11]}');
    const picked = settledOf([{ n: 1 }, { n: 2 }], { indexes: [12, 17] });
    expect(reduceChunk(planOf(sum), picked).partial).toBe('{"sum":3,"indexes":[12,17]}');
    const seen: unknown[] = [];
    const plan = planOf({ ...sum, add: (acc: unknown, output: unknown) => (seen.push(output), acc) });
    reduceChunk(plan, settledOf([{ at: new Date(0), none: undefined, n: NaN }]));
    expect(seen).toEqual([{ at: '1970-01-01T00:00:00.000Z', n: null }]);
  });

  it('has no partial where nothing was put out', () => {
    expect(reduceChunk(planOf(sum), settledOf([], { succeeded: 5 })).partial).toBeNull();
  });

  it('fails the items alone that add refuses, also when it had changed the accumulator by then', () => {
    const settled = reduceChunk(planOf(sum), settledOf([{ n: 1 }, { n: -5 }, { n: 2 }]));
    expect(settled).toMatchObject({
      succeeded: 2,
      outputs: texts([{ n: 1 }, { n: 2 }]),
      indexes: [10, 12],
      failures: [{ index: 11, error: { code: 'reduce-failed', message: 'no debts' } }],
      partial: '{"sum":3,"indexes":[10,12]}',
    });
    expect(reduceChunk(planOf(sum), settledOf([{ n: -1 }]))).toMatchObject({
      succeeded: 0,
      outputs: '',
      partial: null,
    });
  });

  it('leaves to each item the attempt that it had, where they differ', () => {
    const settled = { ...settledOf([{ n: 1 }, { n: -5 }, { n: 2 }]), attempts: [1, 2, 3] };
    expect(reduceChunk(planOf(sum), settled)).toMatchObject({
      indexes: [10, 12],
      attempts: [1, 3],
      failures: [{ index: 11, attempt: 2 }],
    });
  });

  it('folds each output by itself where it is told of each, and comes to the same', () => {
    const plan = planOf(sum);
    const settled = settledOf([{ n: 1 }, { n: -5 }, { n: 2 }]);
    const seen: number[] = [];
    expect(reduceChunk(plan, settled, (position) => void seen.push(position))).toEqual(reduceChunk(plan, settled));
    expect(seen).toEqual([0, 1, 2]);
    expect(refusalOf(plan, 11, '{"n":-5}')).toEqual({ code: 'reduce-failed', message: 'no debts' });
    expect(refusalOf(plan, 11, '{"n":5}')).toBeNull();
  });

  it.each([
    ['zero throws', { ...sum, zero: () => JSON.parse('{') as never }],
    ['the accumulator is too large', { ...sum, add: () => 'x'.repeat(300_000) }],
    ['the accumulator is null', { ...sum, add: () => null }],
    ['the accumulator is no JSON', { ...sum, add: () => 1n }],
    ['the accumulator holds what JSON makes null of', { ...sum, add: () => ({ sum: NaN }) }],
    ['add answers a promise', { ...sum, add: () => Promise.reject(new Error('late')) }],
    ['zero answers a promise', { ...sum, zero: () => Promise.reject(new Error('late')) }],
  ])('makes the summary unknown and says so once where %s', (_, reduce) => {
    const told: object[] = [];
    const plan = planOf(reduce, told);
    for (let chunk = 0; chunk < 3; chunk += 1) {
      expect(reduceChunk(plan, settledOf([{ n: 1 }]))).toMatchObject({ succeeded: 1, partial: 'null' });
    }
    expect(told).toHaveLength(1);
  });
});

describe('a flush', () => {
  it('whose outputs the database refuses in part flushes a partial of the others', async () => {
    const refused = Object.assign(new Error('no'), { code: '22P05' });
    const flushed: Settled[] = [];
    const take = (text: string): Promise<void> =>
      text.includes('"n":2') ? Promise.reject(refused) : Promise.resolve();
    const { flush } = createFlushes({
      statements: {
        flush: async ([settled]) => {
          await take(settled!.outputs);
          flushed.push(settled!);
          return [{ no: 1, batch: 1 }];
        },
        probe: async (outputs) => (await take(outputs), 0),
      },
      maxItems: 1,
      maxBytes: 1,
      intervalMs: 0,
      inHand: () => Infinity,
      figures: createFigures(),
    });
    const plan = planOf(sum);
    expect(await flush(settledOf([{ n: 1 }, { n: 2 }, { n: 3 }]), (settled) => reduceChunk(plan, settled))).toBe(true);
    expect(flushed).toMatchObject([
      {
        succeeded: 2,
        outputs: texts([{ n: 1 }, { n: 3 }]),
        partial: '{"sum":4,"indexes":[10,12]}',
        failures: [{ index: 11, error: { code: 'output-not-storable' } }],
      },
    ]);
  });

  it('that is refused for nothing that can be found fails all that it stores, each with its attempt', async () => {
    const failures = [{ index: 3, attempt: 4, error: { code: 'bad', message: 'as asked' } }];
    const settled = { ...settledOf([1, 2]), attempts: [1, 2], failures };
    const mended = await withoutGuilty(settled, () => Promise.resolve(0));
    const code = 'output-not-storable';
    expect(mended).toMatchObject({ succeeded: 0, outputs: '', indexes: [], attempts: [] });
    expect(mended.failures).toMatchObject([
      { index: 3, attempt: 4, error: { code } },
      { index: 10, attempt: 1, error: { code } },
      { index: 11, attempt: 2, error: { code } },
    ]);
  });
});
