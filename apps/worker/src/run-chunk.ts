import type { Settled } from '@bullpen/db';
import { Fail, type Handler, ItemContext, Retry } from '@bullpen/handlers';
import type { Held } from './claims.ts';
import type { Figures } from './figures.ts';
import { describeError, encodeOutput, Item, type ItemError } from './outputs.ts';
import type { Plan } from './plans.ts';
import { indexAt, restsOf } from './rests.ts';
import type { Slots } from './slots.ts';
import { TimeoutError, type Timed, type Timeouts } from './timeouts.ts';
import { createTurn } from './turn.ts';
import { type Marks, together } from './watchdog/marks.ts';

export interface RunDeps {
  slots: Slots;
  figures: Figures;
  timeouts: Timeouts;
  marks: Marks;
  sliceMs: number;
  outputMaxBytes: number;
  /** Outputs that end a slice: more would keep the chunk from its flush for too long. */
  sliceMaxBytes: number;
  /** False while the worker drains, or cannot be sure of its lease. */
  mayStart: () => boolean;
}

/** A handler that asks for more waits this long. */
const retryAfterMaxMs = 86_400_000;

/** One run of a chunk: what goes in, and what has become of each item so far, by position. */
interface Run extends Timed {
  held: Held;
  plan: Plan;
  inputs: readonly { first: number; values: readonly unknown[] }[];
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
}

/**
 * Runs the items of a chunk and answers what is to be flushed: final items, items to be tried again, and those that
 * were not started because the slice was over, the batch stopped or the worker drains.
 */
export async function runChunk(held: Held, plan: Plan, order: number, deps: RunDeps): Promise<Settled> {
  const size = held.picks?.length ?? held.size;
  const run: Run = {
    held,
    plan,
    inputs: held.inputs.map(({ first, items }) => ({ first, values: JSON.parse(items) as unknown[] })),
    state: new Uint8Array(size),
    texts: Array.from({ length: size }),
    bytes: 0,
    outputMaxBytes: deps.outputMaxBytes,
    errors: new Map(),
    retries: new Map(),
    apart: false,
    batch: held.batch,
    timeoutMs: plan.timeoutMs,
    open: new Map(),
    startedAt: new Float64Array(0),
    expire: () => undefined,
  };
  if (plan.broken !== null) for (let at = 0; at < size; at += 1) refuse(run, at, plan.broken);
  else if (plan.handler.runChunk) await runTogether(run, plan.handler.runChunk, deps);
  else await runEach(run, plan.handler.run!, order, deps);
  return settle(run);
}

/** Item by item. A synchronous handler costs no promise; one that answers a promise holds a slot until it settles. */
async function runEach(run: Run, handle: NonNullable<Handler['run']>, order: number, deps: RunDeps): Promise<void> {
  const turn = createTurn(deps.sliceMs);
  const opens = openItems(run, deps);
  const gone = (): boolean => !deps.mayStart() || run.plan.stopped;
  for (let at = 0; at < run.state.length && run.bytes < deps.sliceMaxBytes; at += 1) {
    const look = turn.isTimeToLook();
    const wait = deps.slots.free <= 0;
    if (look || wait) {
      if (turn.hasRunLong()) await turn.yield();
      // Nothing is awaited between the last look at the slots and the start of the item: others would take the slot.
      while (deps.slots.free <= 0 && !gone()) await turn.wait(deps.slots.wait(order, gone));
      if (at === 0) turn.startSlice();
      if (turn.sliceIsOver() || gone()) {
        deps.slots.pass();
        break;
      }
    }
    const context = new ItemContext(run.plan.scope, indexAt(run.held, at), run.held.attempt);
    const outcome = callOne(run, at, handle, context, deps.marks);
    if (outcome !== null) opens.add(at, context, outcome);
  }
  deps.figures.workMs += turn.workMs();
  await opens.settled();
}

/**
 * Items that wait for their promise. Each leaves once: by its answer, by its error, or because it took too long; what
 * it says after that is not heard.
 */
function openItems(run: Run, { slots, timeouts, marks }: RunDeps) {
  let allSettled: (() => void) | null = null;

  function free(): void {
    slots.release();
    if (run.open.size > 0) return;
    timeouts.unwatch(run);
    allSettled?.();
  }
  function reject(at: number, error: unknown): void {
    if (!run.open.delete(at)) return;
    refuse(run, at, error);
    free();
  }
  function resolve(at: number, output: unknown): void {
    if (!run.open.delete(at)) return;
    acceptMarked(run, at, output, marks);
    free();
  }
  run.expire = (at) => {
    const error = new TimeoutError(run.timeoutMs);
    const context = run.open.get(at)!;
    reject(at, error);
    ItemContext.end(context, error);
  };

  return {
    add(at: number, context: ItemContext, outcome: PromiseLike<unknown>): void {
      slots.take();
      if (run.open.size === 0) timeouts.watch(run);
      run.open.set(at, context);
      if (run.startedAt.length === 0) run.startedAt = new Float64Array(run.state.length);
      run.startedAt[at] = performance.now();
      try {
        outcome.then(
          (output) => resolve(at, output),
          (error: unknown) => reject(at, error),
        );
      } catch (error) {
        // A promise whose `then` was replaced.
        reject(at, error);
      }
    },
    settled: async (): Promise<void> => {
      if (run.open.size > 0) await new Promise<void>((resolve) => (allSettled = resolve));
    },
  };
}

/** Starts one item. Answers its promise, or null when it is over already. */
function callOne(
  run: Run,
  at: number,
  handle: NonNullable<Handler['run']>,
  context: ItemContext,
  marks: Marks,
): PromiseLike<unknown> | null {
  marks.enter(run.held.no, context.index, run.timeoutMs);
  try {
    const output = handle(inputAt(run, context.index), context);
    if (isThenable(output)) return Promise.resolve(output);
    accept(run, at, output);
  } catch (error) {
    refuse(run, at, error);
  } finally {
    marks.leave();
  }
  return null;
}

const isThenable = (output: unknown): output is PromiseLike<unknown> =>
  output !== null && typeof output === 'object' && typeof (output as PromiseLike<unknown>).then === 'function';

/**
 * All items in one call, which may take `timeoutMs` as one item may. Of one that takes longer nobody knows which item it
 * hangs on, so each is tried again alone.
 */
async function runTogether(run: Run, handle: NonNullable<Handler['runChunk']>, deps: RunDeps): Promise<void> {
  if (!deps.mayStart() || run.plan.stopped) return;
  const started = performance.now();
  const refuseOpen = (error: unknown): void => {
    for (let at = 0; at < run.state.length; at += 1) if (run.state[at] === Item.open) refuse(run, at, error);
  };
  try {
    const { positions, outputs } = callTogether(run, handle, deps.marks);
    const answer = isThenable(outputs) ? await inTime(run, outputs, positions, deps.timeouts) : outputs;
    if (!Array.isArray(answer) || answer.length !== positions.size)
      throw new Fail('wrong-output-count', `runChunk must answer ${positions.size} outputs, one an input`);
    for (const [i, at] of [...positions.keys()].entries()) {
      if (answer[i] instanceof Error) refuse(run, at, answer[i]);
      else acceptMarked(run, at, answer[i], deps.marks);
    }
  } catch (error) {
    refuseOpen(error);
  }
  deps.figures.workMs += performance.now() - started;
}

/** The call, and the contexts of the items that are in it by position; an input that does not fit concerns its item alone. */
function callTogether(run: Run, handle: NonNullable<Handler['runChunk']>, marks: Marks) {
  const positions = new Map<number, ItemContext>();
  const inputs: unknown[] = [];
  const size = run.state.length;
  marks.enter(run.held.no, size === 1 ? indexAt(run.held, 0) : together, run.timeoutMs);
  try {
    for (let at = 0; at < size; at += 1) {
      const context = new ItemContext(run.plan.scope, indexAt(run.held, at), run.held.attempt);
      try {
        inputs.push(inputAt(run, context.index));
        positions.set(at, context);
      } catch (error) {
        refuse(run, at, error);
      }
    }
    return { positions, outputs: handle(inputs, [...positions.values()]) };
  } finally {
    marks.leave();
  }
}

/** The answer to a call for these items, or TimeoutError. */
async function inTime<Answer>(
  run: Run,
  answer: PromiseLike<Answer>,
  items: ReadonlyMap<number, ItemContext>,
  timeouts: Timeouts,
): Promise<Answer> {
  run.open = new Map(items);
  run.startedAt = new Float64Array(run.state.length).fill(performance.now());
  timeouts.watch(run);
  try {
    return await Promise.race([
      answer,
      new Promise<never>((_, reject) => {
        run.expire = () => {
          const error = new TimeoutError(run.timeoutMs);
          run.open.clear();
          run.apart = run.state.length > 1;
          for (const context of items.values()) ItemContext.end(context, error);
          reject(error);
        };
      }),
    ]);
  } finally {
    run.open.clear();
    timeouts.unwatch(run);
  }
}

function inputAt(run: Run, index: number): unknown {
  if (run.inputs.length === 0) return undefined;
  let row = run.inputs.length - 1;
  while (run.inputs[row]!.first > index) row -= 1;
  const { first, values } = run.inputs[row]!;
  const input = values[index - first];
  const schema = run.plan.handler.input;
  if (schema === undefined) return input;
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Fail('invalid-input', `${issue?.path.join('.') || 'input'}: ${issue?.message ?? 'is not valid'}`);
}

/** An output that came by a promise: to write it as JSON runs code of the handler again. */
function acceptMarked(run: Run, at: number, output: unknown, marks: Marks): void {
  if (output !== undefined) marks.enter(run.held.no, indexAt(run.held, at), run.timeoutMs);
  accept(run, at, output);
  marks.leave();
}

function accept(run: Run, at: number, output: unknown): void {
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

function refuse(run: Run, at: number, error: unknown): void {
  const { attempt } = run.held;
  const { final, afterMs } = verdictOn(error);
  if (final || attempt >= run.plan.maxAttempts) {
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

/** What a thrown value asks for. It may be anything, also an object on which every look throws. */
function verdictOn(error: unknown): { final: boolean; afterMs: number | null } {
  try {
    if (error instanceof Fail) return { final: true, afterMs: null };
    if (error instanceof Retry && Number.isFinite(error.afterMs)) {
      return { final: false, afterMs: Math.min(retryAfterMaxMs, Math.max(0, error.afterMs)) };
    }
  } catch {
    // It says nothing: tried again like any other.
  }
  return { final: false, afterMs: null };
}

/** Turns the states of the items into what the flush statement takes. */
function settle(run: Run): Settled {
  const { held, state, texts } = run;
  const whole = state.every((each) => each === Item.succeeded);
  const kept = whole ? null : positionsOf(state, Item.succeeded);
  const acknowledged = state.reduce((n, each) => (each === Item.acknowledged ? n + 1 : n), 0);
  return {
    no: held.no,
    claim: held.claim,
    first: held.first,
    succeeded: (kept?.length ?? state.length) + acknowledged,
    outputs: `[${(kept === null ? texts : kept.map((at) => texts[at])).join(',')}]`,
    indexes: kept === null ? held.picks : kept.map((at) => indexAt(held, at)),
    failures: [...run.errors].map(([at, error]) => ({ index: indexAt(held, at), error })),
    rests: restsOf(held, run.plan, { open: positionsOf(state, Item.open), again: run.retries, apart: run.apart }),
  };
}

function positionsOf(state: Uint8Array, wanted: number): number[] {
  const positions: number[] = [];
  for (let at = 0; at < state.length; at += 1) if (state[at] === wanted) positions.push(at);
  return positions;
}
