import { Fail, Retry } from '@bullpen/handlers';
import type { Held } from './claims.ts';
import type { Figures } from './figures.ts';
import { describeError, encodeOutput, Item, type ItemError } from './outputs.ts';
import type { Plan } from './plans.ts';
import { indexAt } from './rests.ts';
import type { Slots } from './slots.ts';
import type { Timed, Timeouts } from './timeouts.ts';
import type { Marks } from './watchdog/marks.ts';

export interface RunDeps {
  slots: Slots;
  figures: Pick<Figures, 'workMs'>;
  timeouts: Timeouts;
  marks: Marks;
  sliceMs: number;
  outputMaxBytes: number;
  /** Outputs that end a slice: more would keep the chunk from its flush for too long. */
  sliceMaxBytes: number;
  /** False while the worker drains, or cannot be sure of its lease. */
  mayStart: () => boolean;
  /** The chunk waits for what limits its batch, and gives its hand to others. False: too many do, and it is to go back soon. */
  stepAside?: () => boolean;
}

/** A handler that asks for more waits this long. */
const retryAfterMaxMs = 86_400_000;
/** And makes all others wait for this long at most. */
const pauseMaxMs = 3_600_000;

/** One run of a chunk: what goes in, and what has become of each item so far, by position. */
export interface Run extends Timed {
  held: Held;
  plan: Plan;
  /** The input of an item, as it was sent; null: they have none, or their handler ignores it. */
  read: ((at: number) => unknown) | null;
  /** Of the items that are on another attempt than their chunk. */
  attempts: ReadonlyMap<number, number>;
  state: Uint8Array;
  /** Outputs as JSON text. */
  texts: string[];
  /** Length of all of them. */
  bytes: number;
  outputMaxBytes: number;
  errors: Map<number, ItemError>;
  /** Items to be tried again, and the wait that was asked for; null: the backoff. */
  retries: Map<number, number | null>;
  /** Which item failed is not known: each is tried again alone. */
  apart: boolean;
  /** What was not started waits so long before it comes again. */
  waitMs: number;
}

const none: ReadonlyMap<number, number> = new Map();

export function openRun(
  held: Held,
  plan: Plan,
  outputMaxBytes: number,
  read: Run['read'] = readerOf(held, plan),
  attempts: Run['attempts'] = none,
): Run {
  const size = held.picks?.length ?? held.size;
  return {
    held,
    plan,
    read,
    attempts,
    state: new Uint8Array(size),
    texts: [],
    bytes: 0,
    outputMaxBytes,
    errors: new Map(),
    retries: new Map(),
    apart: false,
    waitMs: 0,
    batch: held.batch,
    timeoutMs: plan.timeoutMs,
    open: new Map(),
    startedAt: new Float64Array(0),
    expire: () => undefined,
  };
}

/** The inputs of a chunk, which stand in rows without a gap. */
function readerOf(held: Held, { handler }: Plan): Run['read'] {
  if (handler.ignoresInput) return null;
  const inputs = held.inputs.map(({ first, items }) => ({ first, values: JSON.parse(items) as unknown[] }));
  if (inputs.length === 0) return null;
  return (at) => {
    const index = indexAt(held, at);
    let row = inputs.length - 1;
    while (inputs[row]!.first > index) row -= 1;
    return inputs[row]!.values[index - inputs[row]!.first];
  };
}

export const attemptAt = (run: Run, at: number): number => run.attempts.get(at) ?? run.held.attempt;

/** The input of an item as its handler's schema makes it. Throws `Fail` where that refuses it. */
export function inputAt(run: Run, at: number): unknown {
  if (run.read === null) return undefined;
  const input = run.read(at);
  const schema = run.plan.handler.input;
  if (schema === undefined) return input;
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Fail('invalid-input', `${issue?.path.join('.') || 'input'}: ${issue?.message ?? 'is not valid'}`);
}

/** An output that came by a promise: to write it as JSON runs code of the handler again. */
export function acceptMarked(run: Run, at: number, output: unknown, marks: Marks): void {
  if (output !== undefined) marks.enter(run.held.no, indexAt(run.held, at), run.timeoutMs);
  accept(run, at, output);
  marks.leave();
}

export function accept(run: Run, at: number, output: unknown): void {
  if (output === undefined) {
    run.state[at] = Item.acknowledged;
    return;
  }
  const text = encodeOutput(output, run.outputMaxBytes);
  if (typeof text !== 'string') {
    fail(run, at, text);
    return;
  }
  run.state[at] = Item.succeeded;
  run.texts[at] = text;
  run.bytes += text.length;
}

export function refuse(run: Run, at: number, error: unknown): void {
  const { final, afterMs, forAll } = verdictOn(error);
  if (forAll) run.plan.gate.pauseAll(Math.min(pauseMaxMs, afterMs!));
  if (final || attemptAt(run, at) >= run.plan.maxAttempts) {
    fail(run, at, describeError(error));
    return;
  }
  run.state[at] = Item.again;
  run.retries.set(at, afterMs);
}

function fail(run: Run, at: number, error: ItemError): void {
  run.state[at] = Item.failed;
  run.errors.set(at, error);
}

interface ErrorVerdict {
  final: boolean;
  afterMs: number | null;
  /** Nobody is to start an item for as long. */
  forAll: boolean;
}

/** What a thrown value asks for. It may be anything, also an object on which every look throws. */
function verdictOn(error: unknown): ErrorVerdict {
  try {
    if (error instanceof Fail) return { final: true, afterMs: null, forAll: false };
    if (error instanceof Retry && Number.isFinite(error.afterMs)) {
      const afterMs = Math.min(retryAfterMaxMs, Math.max(0, error.afterMs));
      return { final: false, afterMs, forAll: error.forAll };
    }
  } catch {
    // It says nothing: tried again like any other.
  }
  return { final: false, afterMs: null, forAll: false };
}
