import { setTimeout as delay } from 'node:timers/promises';
import type { Batch, Client } from '@bullpen/api';
import { isOver } from '../batch.ts';
import type { ProgressDisplay } from '../progress/display.ts';
import { followBatch } from '../progress/follow.ts';

export interface DemoOutcome {
  batch: Batch;
  /** What each worker did of it, the busiest first. */
  shares: { worker: string; items: number }[];
  /** A few results, as they come from REST. */
  samples: unknown[];
}

export interface DemoOrder {
  handler: string;
  items: number;
  seed: number;
  chunkSize?: number;
}

/** Batches that run already; more are not counted. */
const besideMax = 100;

/** Submits `items` items without inputs, shows how they run, and gathers what there is to tell of it. */
export async function runBatch(
  client: Client,
  order: DemoOrder,
  show: {
    onBeside: (batches: readonly Batch[], isAll: boolean) => void;
    onAccepted: (id: string) => void;
    openProgress: () => ProgressDisplay;
    signal: AbortSignal | undefined;
  },
): Promise<DemoOutcome> {
  const before = new Map((await client.workers()).items.map(({ id, itemsDone }) => [id, itemsDone]));
  const beside = await client.listBatches({ state: 'running', limit: besideMax });
  show.onBeside(beside.items, beside.nextCursor === null);
  const { handler, items, seed, chunkSize } = order;
  const options = { seed, ...(chunkSize !== undefined && { chunkSize }) };
  const accepted = await client.submit({ handler, count: items, name: 'demo', options });
  show.onAccepted(accepted.id);
  const batch = isOver(accepted)
    ? await client.getBatch(accepted.id)
    : await followBatch(client, accepted.id, show.openProgress(), show.signal);
  const [shares, { items: samples }] = await Promise.all([
    sharesOf(client, before, items),
    client.results(batch.id, { limit: 3 }),
  ]);
  return { batch, shares, samples };
}

/** Workers tell what they did once a second, so the last words come after the batch's end; nobody waits longer than this for them. */
const LAST_WORDS_MS = 2500;

async function sharesOf(
  client: Client,
  before: ReadonlyMap<string, number>,
  items: number,
): Promise<DemoOutcome['shares']> {
  for (const since = performance.now(); ; await delay(100)) {
    const shares = (await client.workers()).items
      .map(({ id, name, itemsDone }) => ({ worker: name, items: Math.max(0, itemsDone - (before.get(id) ?? 0)) }))
      .sort((a, b) => b.items - a.items);
    const told = shares.reduce((sum, share) => sum + share.items, 0);
    if (told >= items || performance.now() - since > LAST_WORDS_MS) return shares;
  }
}
