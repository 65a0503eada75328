import { setTimeout as delay } from 'node:timers/promises';
import { UnreachableError, type Batch, type Client } from '@bullpen/api';
import { doneOf, isOver } from '../batch.ts';
import { waitsText } from '../text/batch.ts';
import type { ProgressDisplay } from './display.ts';
import type { ProgressView } from './line.ts';
import { createRate } from './rate.ts';

/** How long the producer may be away, as while it restarts, before a watch gives up. */
const AWAY_MAX_MS = 30_000;
/** One request lasts at most this long, so that proxies do not cut it. */
const WAIT_SECONDS = 20;
const WORKERS_EVERY_MS = 1000;

/**
 * Shows a batch until it ends and answers with it. One request waits for the end, so that it is noticed at once; others fetch the
 * counts in between, as often as the display wants them.
 */
export async function followBatch(
  client: Client,
  id: string,
  display: ProgressDisplay,
  signal?: AbortSignal,
): Promise<Batch> {
  const over = new AbortController();
  const stop = (): void => over.abort();
  signal?.addEventListener('abort', stop);
  try {
    const ended = untilEnded(client, id, over.signal).finally(stop);
    const shown = showCounts(client, id, display, over.signal);
    const last = await ended;
    await shown;
    display.show({ ...viewOf(last), itemsPerSecond: null, workers: null });
    return last;
  } finally {
    stop();
    signal?.removeEventListener('abort', stop);
    display.close();
  }
}

async function untilEnded(client: Client, id: string, signal: AbortSignal): Promise<Batch> {
  for (;;) {
    const batch = await patiently(signal, () => client.getBatch(id, { waitSeconds: WAIT_SECONDS, signal }));
    if (isOver(batch)) return batch;
    signal.throwIfAborted();
  }
}

/** Faults are left to the request that waits: it sees the same ones, and decides. */
async function showCounts(client: Client, id: string, display: ProgressDisplay, signal: AbortSignal): Promise<void> {
  const rate = createRate();
  let workers: number | null = null;
  let workersAt = -Infinity;
  while (!signal.aborted) {
    const now = performance.now();
    if (now - workersAt >= WORKERS_EVERY_MS) {
      workersAt = now;
      workers = await client.workers(signal).then(
        ({ items }) => items.length,
        () => workers,
      );
    }
    const batch = await client.getBatch(id, { signal }).catch(() => null);
    if (batch !== null && !signal.aborted) {
      rate.add(performance.now(), doneOf(batch));
      display.show({ ...viewOf(batch), itemsPerSecond: rate.perSecond(), workers });
    }
    await delay(display.everyMs, undefined, { signal }).catch(() => {});
  }
}

const viewOf = (batch: Batch): Omit<ProgressView, 'itemsPerSecond' | 'workers'> => ({
  state: batch.state,
  waits: waitsText(batch, Date.now()),
  done: doneOf(batch),
  total: batch.counts.total,
  failed: batch.counts.failed,
  sealed: batch.sealed,
});

/** Repeats a request while the producer cannot be reached, each half second, for half a minute. */
async function patiently<Answer>(signal: AbortSignal, request: () => Promise<Answer>): Promise<Answer> {
  const since = performance.now();
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof UnreachableError) || performance.now() - since > AWAY_MAX_MS) throw error;
      await delay(500, undefined, { signal });
    }
  }
}
