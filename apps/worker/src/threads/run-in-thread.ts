import type { Settled } from '@bullpen/db';
import type { Held } from '../claims.ts';
import { untouched } from '../outcomes.ts';
import type { Plan } from '../plans.ts';
import { indexAt, restsOf } from '../rests.ts';
import type { RunDeps } from '../run.ts';
import { settle } from '../settle.ts';
import { runInParts } from './parts.ts';
import { blame } from '../watchdog/blame.ts';
import { none } from '../watchdog/marks.ts';
import type { Ending, Lost, Task } from './thread-link.ts';
import type { Place, Threads } from './threads.ts';

export interface ThreadDeps extends Pick<RunDeps, 'figures' | 'mayStart' | 'sliceMs' | 'stepAside'> {
  threads: Threads;
}

/**
 * Does what `runChunk` does, in a thread of the handler's. Where that was lost by what a chunk before may have left in it,
 * the chunk runs once more in a new one before anything is held against it.
 */
export async function runInThread(held: Held, plan: Plan, order: number, deps: ThreadDeps): Promise<Settled> {
  const gone = (): boolean => !deps.mayStart() || plan.stopped;
  const take = (): Promise<Place | null> => deps.threads.take(plan.handler, order, gone);
  const run = (part: Held, place: Place): Promise<Settled> => runPart({ held: part, plan, gone }, place, deps);
  if (plan.gate.limited) return runInParts(held, plan, { ...deps, order, gone }, take, run);
  const place = await take();
  return place === null ? settle(held, plan, untouched(held)) : run(held, place);
}

async function runPart(task: Task, place: Place, deps: ThreadDeps): Promise<Settled> {
  const { held, plan } = task;
  try {
    const ending = await runAtMostTwice(place, task);
    deps.figures.workMs += ending.workMs;
    return 'state' in ending ? settle(held, plan, ending) : settleLost(held, plan, ending);
  } finally {
    place.release();
  }
}

export async function runAtMostTwice(place: Place, task: Task): Promise<Ending> {
  const ending = await place.run(task);
  if ('state' in ending) return ending;
  tellLoss(task, ending);
  if (!ending.inDoubt) return ending;
  const again = await place.run(task);
  if (!('state' in again)) tellLoss(task, again);
  return { ...again, workMs: ending.workMs + again.workMs };
}

function tellLoss({ held, plan }: Task, { item, error, inDoubt }: Lost): void {
  const { log } = plan.scope;
  // The code alone: the message has the words that the handler died with.
  log.warn(
    { chunk: held.no, item: item < 0 ? undefined : item, code: error.code, inDoubt },
    'a thread was lost with its chunk',
  );
}

/**
 * The item that the thread was lost in has used an attempt (blame.ts). Outside of any call nobody knows which it was: then
 * nothing is held against any item of several, but each goes back alone; and one that was alone was it.
 */
function settleLost(held: Held, plan: Plan, { item, error }: Lost): Settled {
  const holding = { ...held, options: plan.row.options };
  const size = held.picks?.length ?? held.size;
  if (item !== none) return blame(holding, item, error);
  if (size === 1) return blame(holding, indexAt(held, 0), error);
  const alone = (at: number) => restsOf(held, plan, { open: [at], again: new Map(), apart: false });
  return { ...settle(held, plan, untouched(held)), rests: Array.from({ length: size }, (_, at) => alone(at)).flat() };
}
