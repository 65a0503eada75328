import type { Settled } from '@bullpen/db';
import type { Held } from './claims.ts';
import type { Plan } from './plans.ts';
import type { RunDeps } from './run.ts';
import { runItems } from './run-items.ts';
import { settle } from './settle.ts';

/**
 * Runs the items of a chunk and answers what is to be flushed: final items, items to be tried again, and those that
 * were not started because the slice was over, the batch stopped or the worker drains.
 */
export async function runChunk(held: Held, plan: Plan, order: number, deps: RunDeps): Promise<Settled> {
  return settle(held, plan, await runItems(held, plan, order, deps));
}
