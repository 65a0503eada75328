import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkerAnswer } from '@bullpen/api';
import type { House } from './house.ts';

/** More than any worker here gets done before the batch is taken from it. */
const count = 5_000_000;

export interface Steady {
  handler: string;
  params: object;
  /** How long it runs before it is looked at: as long as `auto` takes to find what fits. */
  warmMs: number;
  lookMs: number;
}

/** Items a second in the middle of a batch, and the worker then; the batch is cancelled. Throws where it has ended by then. */
export async function steadyRate(
  { client }: House,
  { handler, params, warmMs, lookMs }: Steady,
): Promise<{ rate: number; worker: WorkerAnswer }> {
  const { id } = await client.submit({ handler, count, params });
  const look = async (): Promise<{ done: number; at: number }> => {
    const { counts, state } = await client.getBatch(id);
    if (state !== 'running') throw new Error(`the batch is ${state} before it was measured`);
    return { done: counts.succeeded, at: performance.now() };
  };
  await sleep(warmMs);
  const first = await look();
  await sleep(lookMs);
  const last = await look();
  const { items } = await client.workers();
  await client.cancelBatch(id);
  return { rate: ((last.done - first.done) / (last.at - first.at)) * 1000, worker: items[0]! };
}

/** Chunks that had to be in hand for this rate, by Little's law: what a claim, a chunk and a flush took of late, in ms, as the worker says. */
export function chunksByTheLaw(windows: readonly Record<string, unknown>[], itemsPerSecond: number): number {
  const sum = (name: string): number => windows.reduce((all, window) => all + Number(window[name] ?? 0), 0);
  const chunks = Math.max(1, sum('chunks'));
  const ms =
    sum('claimWaitMs') / Math.max(1, sum('claims')) +
    sum('handlerMs') / chunks +
    sum('flushWaitMs') / Math.max(1, sum('flushes'));
  return ((itemsPerSecond / (sum('items') / chunks)) * ms) / 1000;
}
