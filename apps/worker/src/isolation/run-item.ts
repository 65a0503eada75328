import { Fail, ItemContext, Retry } from '@bullpen/handlers';
import { handleOf } from '../lines/handle.ts';
import { describeError, encodeOutput } from '../outputs.ts';
import type { Plans } from '../plans.ts';
import { refusalOf } from '../reduce-chunk.ts';
import type { Marks } from '../watchdog/marks.ts';
import type { ItemAnswer, ItemOrder } from './item.ts';

/** Runs one item in the process in which it is alone, and answers what became of it. Chunks and claims have no part in it. */
export async function runItem(
  { item, batch, index, attempt, input }: ItemOrder,
  { plans, marks, outputMaxBytes }: { plans: Plans; marks: Marks; outputMaxBytes: number },
): Promise<ItemAnswer> {
  try {
    const plan = await plans.open(batch, 0);
    if (plan === null) throw new Error(`batch ${batch} is gone while its items run`);
    // By this `ctx.limit` knows whether to wait: what starts here has no chunk before which the limits are read.
    await plan.gate.refresh();
    const context = new ItemContext(plan.scope, index, attempt);
    const schema = plan.handler.input;
    marks.enter(0, index, plan.timeoutMs);
    const outcome = handleOf(plan)(schema === undefined ? input : schema.parse(input), context);
    marks.leave();
    const output = await outcome;
    if (output === undefined) return { item };
    const text = encodeOutput(output, outputMaxBytes);
    if (typeof text !== 'string') throw new Fail(text.code, text.message);
    // Its worker reduces it with others: what kills is to kill here.
    marks.enter(0, index, plan.timeoutMs);
    const refusal = refusalOf(plan, index, text);
    marks.leave();
    if (refusal !== null) throw new Fail(refusal.code, refusal.message);
    return { item, text };
  } catch (error) {
    marks.leave();
    const { afterMs, forAll } = askedBy(error);
    return { item, thrown: { ...describeError(error), final: error instanceof Fail, afterMs, forAll } };
  }
}

const askedBy = (error: unknown): { afterMs: number | null; forAll: boolean } =>
  error instanceof Retry && Number.isFinite(error.afterMs) ? error : { afterMs: null, forAll: false };
