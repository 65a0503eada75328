import type { Held } from './claims.ts';
import { type Outcomes, outcomesOf } from './outcomes.ts';
import type { Plan } from './plans.ts';
import { openRun, refuse, type RunDeps } from './run.ts';
import { runEach } from './run-each.ts';
import { runTogether } from './run-together.ts';

/** Runs the items of a chunk in the thread that it is called in, on the main loop or beside it. */
export async function runItems(held: Held, plan: Plan, order: number, deps: RunDeps): Promise<Outcomes> {
  const run = openRun(held, plan, deps.outputMaxBytes);
  if (plan.broken !== null) for (let at = 0; at < run.state.length; at += 1) refuse(run, at, plan.broken);
  else if (plan.handler.runChunk) await runTogether(run, plan.handler.runChunk, order, deps);
  else await runEach(run, plan.handler.run!, order, deps);
  return outcomesOf(run);
}
