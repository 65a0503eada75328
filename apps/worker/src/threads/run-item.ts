import { Fail, type ItemContext, Retry } from '@bullpen/handlers';
import type { Held } from '../claims.ts';
import type { Outcomes } from '../outcomes.ts';
import { Item } from '../outputs.ts';
import type { Plan } from '../plans.ts';
import { runAtMostTwice, type ThreadDeps } from './run-in-thread.ts';

/**
 * Runs one item in a thread of its handler, as a chunk of one: for lines, where each item waits for another. Answers its output, or
 * throws what makes of it what became of it there.
 */
export async function runItemInThread(
  {
    chunk,
    plan,
    input,
    context,
    order,
  }: { chunk: Held; plan: Plan; input: unknown; context: ItemContext; order: number },
  deps: ThreadDeps,
): Promise<unknown> {
  const { index, attempt } = context;
  const inputs = [{ first: index, items: JSON.stringify([input ?? null]) }];
  const held = { ...chunk, first: index, size: 1, picks: null, attempt, inputs };
  const place = await deps.threads.take(plan.handler, order, () => false);
  try {
    const ending = await runAtMostTwice(place!, { held, plan, gone: () => false });
    deps.figures.workMs += ending.workMs;
    if ('state' in ending) return outputOf(ending);
    throw Object.assign(new Error(ending.error.message), { code: ending.error.code });
  } finally {
    place!.release();
  }
}

function outputOf({ state, texts, errors, retries }: Outcomes): unknown {
  if (state[0] === Item.succeeded) return JSON.parse(texts[0]!);
  if (state[0] === Item.acknowledged) return undefined;
  const error = errors.get(0);
  if (error !== undefined) throw new Fail(error.code, error.message);
  const afterMs = retries.get(0) ?? null;
  if (afterMs !== null) throw new Retry({ afterMs });
  throw new Error('is tried again');
}
