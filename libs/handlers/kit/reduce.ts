/**
 * How the outputs of a batch become its summary. Outputs are folded a chunk at a time in the workers, and the chunks in
 * the producer, in any order and any grouping: `merge` must be commutative and associative with `zero` as its neutral
 * element, and `add` the same as merging what one output gives. Integer sums, maxima and histograms are; sums of
 * fractions are not, for 0.1 + 0.2 + 0.3 depends on the order. Then the summary is equal to the byte however the
 * batch was cut, and whatever died meanwhile.
 *
 * `Acc` is plain JSON data, anything but null, at most `reducedMaxBytes` as text.
 *
 * All of it answers at once, no promises: in the producer there is one loop for all batches.
 *
 * Methods, so that TypeScript takes a handler of any types for a `Handler`.
 */
export interface Reduce<Output, Params, Acc> {
  /** An accumulator of nothing; a new one each time. */
  zero(params: Params): Acc;
  /**
   * Answers `acc` with one output more; it may change `acc`. The output is what JSON gives back of what the handler
   * returned, as it is stored. A throw fails that item alone, for good, as `reduce-failed`. It runs once for each item
   * and should take microseconds. Items without an output are not added.
   */
  add(acc: Acc, output: Output, index: number, params: Params): Acc;
  /** Answers both together; it may change `a`. */
  merge(a: Acc, b: Acc): Acc;
  /** What the batch shows; default: the accumulator. Its keys and lists must stand in an order that params alone decide. */
  summary?(acc: Acc, params: Params): unknown;
}

/** An accumulator, and a summary, as JSON text may have this many bytes: one is kept for each chunk until it is folded. */
const reducedMaxBytes = 256 * 1024;

/**
 * Stands for an accumulator that cannot be known: too large, or `reduce` threw. Merged with anything it stays so, since a
 * summary that misses something would be a lie.
 */
export const unknownReduced = 'null';

/** `reduce` is not what it has to be, whatever the output. */
export class ReduceError extends Error {}

/** What a method of `reduce` has answered. Nobody waits for a promise: it is refused, and its rejection heard. */
export function atOnce<Answer>(method: string, answer: Answer): Answer {
  if (answer === null || typeof answer !== 'object' || !('then' in answer)) return answer;
  Promise.resolve(answer).catch(() => undefined);
  throw new ReduceError(`${method} answered a promise: reduce must answer at once`);
}

/** JSON would make `null` of these. */
function refuseInfinite(key: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new ReduceError(`reduce made ${key || 'it'} ${value}`);
  return value;
}

/** An accumulator as JSON text. Throws where it is no JSON or too large. */
export function encodeReduced(acc: unknown): string {
  const text = JSON.stringify(acc, refuseInfinite) as string | undefined;
  if (text === undefined || text === unknownReduced) throw new Error(`reduce answered ${String(acc)}`);
  const bytes = Buffer.byteLength(text);
  if (bytes > reducedMaxBytes) throw new Error(`what reduce made has ${bytes} bytes, ${reducedMaxBytes} are allowed`);
  return text;
}

type AnyReduce = Reduce<unknown, unknown, unknown>;

/** Accumulators, each as JSON text, as one. At least one; throws what `merge` throws. */
export function mergeReduced(reduce: AnyReduce, texts: readonly string[]): string {
  if (texts.includes(unknownReduced)) return unknownReduced;
  const [first, ...others] = texts;
  if (others.length === 0) return first!;
  let acc: unknown = JSON.parse(first!);
  for (const text of others) acc = atOnce('merge', reduce.merge(acc, JSON.parse(text)));
  return encodeReduced(acc);
}

/** The summary of an accumulator as JSON text; null where that is unknown. Throws what `summary` throws. */
export function summaryOf(reduce: AnyReduce, text: string, params: unknown): unknown {
  const acc: unknown = JSON.parse(text);
  if (acc === null || reduce.summary === undefined) return acc;
  const summary = atOnce('summary', reduce.summary(acc, params));
  encodeReduced(summary);
  return summary;
}
