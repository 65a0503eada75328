import type { Settled } from '@bullpen/db';
import type { Held } from './claims.ts';
import type { Plan } from './plans.ts';
import { openRun, refuse, type RunDeps } from './run.ts';
import { runEach } from './run-each.ts';
import { runTogether } from './run-together.ts';
import { type Outcomes, outcomesOf, settle } from './settle.ts';

/**
 * Runs the items of a chunk and answers what is to be flushed: final items, items to be tried again, and those that
 * were not started because the slice was over, the batch stopped or the worker drains.
 */
export async function runChunk(held: Held, plan: Plan, order: number, deps: RunDeps): Promise<Settled> {
  return settle(held, plan, await runItems(held, plan, order, deps));
}

/** The same for the thread that it is done in, on the main loop or beside it. */
export async function runItems(held: Held, plan: Plan, order: number, deps: RunDeps): Promise<Outcomes> {
  const run = openRun(held, plan, deps.outputMaxBytes);
  if (plan.broken !== null) for (let at = 0; at < run.state.length; at += 1) refuse(run, at, plan.broken);
  else if (plan.handler.runChunk) await runTogether(run, plan.handler.runChunk, deps);
  else await runEach(run, plan.handler.run!, order, deps);
  return outcomesOf(run);
}
