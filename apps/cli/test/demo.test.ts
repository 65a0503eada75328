import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { Context } from '../src/context.ts';
import { createStory, type DemoTerms } from '../src/demo/story.ts';
import { batchId, batchOf, smallServer, workersOf } from './small-server.ts';

const team = (name: string, winRate: number) => ({
  name,
  strategy: 'row-by-row',
  winRate,
  points: { mean: 812.5, p5: 500, p50: 820, p95: 1040 },
});
const summary = { items: 1000, ties: 20, teams: [team('Foxes', 0.25), team('Owls', 0.73)] };
const older = batchOf(
  { state: 'running', finishedAt: null },
  { total: 5000, pending: 4000, succeeded: 1000, failed: 0 },
);

/** The words of a demo on a server that answers so. */
async function demo(
  answers: { beside: object[]; nextCursor?: string; summary: unknown },
  terms: Partial<DemoTerms> = {},
): Promise<{ text: string; posted: unknown[] }> {
  const { url, posted } = await smallServer({
    'GET /v1/batches': () => ({ body: { items: answers.beside, nextCursor: answers.nextCursor ?? null } }),
    'POST /v1/batches': () => ({ status: 202, body: batchOf({ handler: 'simulate' }) }),
    [`GET /v1/batches/${batchId}`]: () => ({ body: batchOf({ summary: answers.summary, options: { seed: 7 } }) }),
    'GET /v1/workers': () => ({ body: workersOf(3) }),
    [`GET /v1/batches/${batchId}/results`]: () => ({ body: { items: [], nextCursor: null } }),
  });
  const stdout = new PassThrough();
  const context = { env: {}, stdout, stderr: new PassThrough() } as unknown as Context;
  const story = createStory(context, { items: 0, workers: 3, handler: 'simulate', seed: 7, ...terms });
  expect(story.tell(await story.run(url), false)).toBe(0);
  return { text: String(stdout.read()), posted };
}

describe('a demo', () => {
  test('submits its seed, and shows the win rates as bars and a hash of the summary', async () => {
    const { text, posted } = await demo({ beside: [], summary }, { chunkSize: 20 });
    expect(posted).toEqual([{ handler: 'simulate', count: 0, name: 'demo', options: { seed: 7, chunkSize: 20 } }]);
    expect(text).toMatch(/Foxes +row-by-row +█+░+ +25\.0% +813 +500 +820 +1,040\n/);
    expect(text).toMatch(/Owls +row-by-row +█+░+ +73\.0%/);
    expect(text).toContain('ties: 2.0%');
    const hashIn = (words: string): string => /hash +([0-9a-f]{16}) of the summary, with seed 7\n/.exec(words)![1]!;
    expect(hashIn((await demo({ beside: [], summary })).text)).toBe(hashIn(text));
    const changed = { ...summary, ties: 21 };
    expect(hashIn((await demo({ beside: [], summary: changed })).text)).not.toBe(hashIn(text));
  });

  test('has neither where the handler makes no summary', async () => {
    const { text } = await demo({ beside: [], summary: null });
    expect(text).not.toMatch(/hash|wins|Beside/);
  });

  test('says which older batches share the workers', async () => {
    expect((await demo({ beside: [older], summary: null })).text).toContain(
      'Beside it  1 older batch with 4,000 items left',
    );
    const { text } = await demo({ beside: [older, older], nextCursor: 'more', summary: null });
    expect(text).toContain('Beside it  over 2 older batches with 8,000 items left');
  });
});
