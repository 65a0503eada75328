import type { Settled } from '@bullpen/db';
import { texts } from '@bullpen/testkit';
import { describe, expect, it } from 'vitest';
import { createFigures } from '../src/figures.ts';
import { createFlushes } from '../src/flushes.ts';

const settledOf = (no: number): Settled => ({
  no, claim: 'c', first: 0, succeeded: 1, outputs: texts([no]), indexes: null, failures: [], rests: [],
}); // prettier-ignore
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
};

/** Flushes that would wait a minute, and are answered when the test says so. */
function open(inHand: () => number) {
  const sent: number[][] = [];
  const answers: (() => void)[] = [];
  const flushes = createFlushes({
    statements: {
      flush: async (settled) => {
        sent.push(settled.map(({ no }) => no));
        await new Promise<void>((resolve) => answers.push(resolve));
        return settled.map(({ no }) => ({ no, batch: 1 }));
      },
      probe: async () => 0,
    },
    maxItems: 1000,
    maxBytes: 1_000_000,
    intervalMs: 60_000,
    inHand,
    figures: createFigures(),
  });
  const flush = (no: number, order?: number) => flushes.flush(settledOf(no), (settled) => settled, order);
  return { flushes, flush, sent, answer: () => answers.shift()!() };
}

describe('a flush', () => {
  it('waits for chunks that are still in hand, and goes at once with the last of them', async () => {
    const { flush, sent, answer } = open(() => 3);
    const flushed = [flush(1), flush(2)];
    await turns();
    expect(sent).toEqual([]);
    flushed.push(flush(3));
    await turns();
    expect(sent).toEqual([[1, 2, 3]]);
    answer();
    expect(await Promise.all(flushed)).toEqual([true, true, true]);
  });

  it('takes chunks by their place in the fair order, and of one place as they came', async () => {
    const { flush, sent, answer } = open(() => 4);
    const flushed = [flush(1, 20), flush(2, 10), flush(3, 20), flush(4, 10)];
    await turns();
    expect(sent).toEqual([[2, 4, 1, 3]]);
    answer();
    await Promise.all(flushed);
  });

  it('does not wait for those that are under way already', async () => {
    let inHand = 1;
    const { flush, sent, answer } = open(() => inHand);
    const first = flush(1);
    await turns();
    inHand = 2;
    const second = flush(2);
    await turns();
    expect(sent).toEqual([[1], [2]]);
    answer();
    answer();
    expect(await Promise.all([first, second])).toEqual([true, true]);
  });

  it('waits while as many are under way as may be, then takes all that has come', async () => {
    const { flushes, flush, sent, answer } = open(() => 0);
    const flushed = [1, 2, 3, 4].map(flush);
    await turns();
    expect(sent).toEqual([[1], [2]]);
    answer();
    await turns();
    expect(sent).toEqual([[1], [2], [3, 4]]);
    flushes.resize(4);
    flushed.push(flush(5), flush(6));
    await turns();
    expect(sent.slice(3)).toEqual([[5], [6]]);
    for (let n = 0; n < 4; n += 1) answer();
    expect(await Promise.all(flushed)).toEqual(Array(6).fill(true));
    expect(flushes.takeMeanMs()).toBeGreaterThan(0);
    expect(flushes.takeMeanMs()).toBeNull();
  });
});
