import { type Outcome, splitTexts } from '@bullpen/db';
import { atOnce, encodeReduced, type Reduce, ReduceError, unknownReduced } from '@bullpen/handlers';
import { placeOf } from '@bullpen/runtime';
import { failOutputs, indexOfOutput, type Refusable } from './fail-outputs.ts';
import { describeError, type ItemError } from './outputs.ts';
import type { Plan } from './plans.ts';

type AnyReduce = Reduce<unknown, unknown, unknown>;

/** Batches whose reduce was seen to fail: said once. */
const told = new WeakSet<Plan>();

/**
 * Adds the partial of a chunk's outputs, where its handler reduces. It reads the outputs back from their text, so that it
 * folds exactly what is stored: 0.6 µs for an output of 90 bytes, and the same code serves after the database refused
 * some of them. An output that `add` refuses fails its item; what fails otherwise makes the summary unknown. `onEach` is told
 * the position of each output before it is folded. A batch that keeps only failures loses its outputs here.
 */
export function reduceChunk<Kind extends Refusable>(
  plan: Plan,
  settled: Kind,
  onEach?: (position: number) => void,
): Kind {
  const reduced = addPartial(plan, settled, onEach);
  if (!plan.dropsOutputs) return reduced;
  return { ...reduced, ...(reduced.attempts && { attempts: [] }), outputs: '', indexes: [] };
}

function addPartial<Kind extends Refusable>(plan: Plan, settled: Kind, onEach?: (position: number) => void): Kind {
  const { reduce } = plan.handler;
  if (reduce === undefined) return settled;
  const texts = splitTexts(settled.outputs);
  if (texts.length === 0) return { ...settled, partial: null };
  try {
    const outputs = JSON.parse(`[${texts.join(',')}]`) as unknown[];
    const folded = fold(reduce, plan.scope.params, settled, outputs, onEach);
    const kept = folded.refused.size === 0 ? settled : failOutputs(settled, texts, folded.refused);
    return { ...kept, partial: folded.refused.size === texts.length ? null : encodeReduced(folded.acc) };
  } catch (error) {
    if (!told.has(plan)) plan.scope.log.error(placeOf(error), 'reduce failed: the batch will have no summary');
    told.add(plan);
    return { ...settled, partial: unknownReduced };
  }
}

/** What `add` has against the output of one item; null: nothing. */
export function refusalOf(plan: Plan, index: number, text: string): ItemError | null {
  const one = { no: 0, claim: '', first: index, succeeded: 1, outputs: text, indexes: null, failures: [] };
  return reduceChunk<Refusable>(plan, one).failures[0]?.error ?? null;
}

interface Folded {
  acc: unknown;
  /** By position in the outputs. */
  refused: Map<number, ItemError>;
}

/**
 * An `add` that threw may have left the accumulator half changed: then, and where `onEach` is to be told, each output is folded alone,
 * and what went well is merged.
 */
function fold(
  reduce: AnyReduce,
  params: unknown,
  settled: Outcome,
  outputs: readonly unknown[],
  onEach?: (at: number) => void,
): Folded {
  const add = (acc: unknown, at: number): unknown =>
    atOnce('add', reduce.add(acc, outputs[at], indexOfOutput(settled, at), params));
  const zero = (): unknown => atOnce('zero', reduce.zero(params));
  const refused = new Map<number, ItemError>();
  let acc = zero();
  if (onEach === undefined) {
    try {
      for (let at = 0; at < outputs.length; at += 1) acc = add(acc, at);
      return { acc, refused };
    } catch (error) {
      if (error instanceof ReduceError) throw error;
      acc = zero();
    }
  }
  for (let at = 0; at < outputs.length; at += 1) {
    onEach?.(at);
    const alone = zero();
    let one: unknown;
    try {
      one = add(alone, at);
    } catch (error) {
      refused.set(at, { code: 'reduce-failed', message: describeError(error).message });
      continue;
    }
    acc = atOnce('merge', reduce.merge(acc, one));
  }
  return { acc, refused };
}
