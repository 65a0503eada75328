import type { Rest, Settled } from '@bullpen/db';
import { Fail, type Handler, ItemContext, Retry } from '@bullpen/handlers';
import type { Held } from './claims.ts';
import type { Figures } from './figures.ts';
import { describeError, encodeOutput, Item, type ItemError } from './outputs.ts';
import type { Plan } from './plans.ts';
import { backoffMs } from './backoff.ts';
import type { Slots } from './slots.ts';
import { createTurn } from './turn.ts';

export interface RunDeps {
  slots: Slots;
  figures: Figures;
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
interface Run {
  held: Held;
  plan: Plan;
  inputs: readonly unknown[] | null;
  state: Uint8Array;
  /** Outputs as JSON text. */
  texts: string[];
  /** Length of all of them. */
  bytes: number;
  outputMaxBytes: number;
  errors: Map<number, ItemError>;
  retries: Map<number, number>;
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
    inputs: held.items === null ? null : (JSON.parse(held.items) as unknown[]),
    state: new Uint8Array(size),
    texts: Array.from({ length: size }),
    bytes: 0,
    outputMaxBytes: deps.outputMaxBytes,
    errors: new Map(),
    retries: new Map(),
  };
  if (plan.broken !== null) for (let at = 0; at < size; at += 1) refuse(run, at, plan.broken);
  else if (plan.handler.runChunk) await runTogether(run, plan.handler.runChunk, deps);
  else await runEach(run, plan.handler.run!, order, deps);
  return settle(run);
}

/** Item by item. A synchronous handler costs no promise; one that answers a promise holds a slot until it settles. */
async function runEach(run: Run, handle: NonNullable<Handler['run']>, order: number, deps: RunDeps): Promise<void> {
  const turn = createTurn(deps.sliceMs);
  let open = 0;
  let allSettled: (() => void) | null = null;
  for (let at = 0; at < run.state.length && run.bytes < deps.sliceMaxBytes; at += 1) {
    const look = turn.isTimeToLook();
    const wait = deps.slots.free <= 0;
    if (look || wait) {
      if (turn.hasRunLong()) await turn.yield();
      // Nothing is awaited between the last look at the slots and the start of the item: others would take the slot.
      while (deps.slots.free <= 0) await turn.wait(deps.slots.wait(order));
      if (turn.sliceIsOver() || !deps.mayStart() || run.plan.stopped) {
        deps.slots.pass();
        break;
      }
    }
    const outcome = callOne(run, at, handle);
    if (outcome === null) continue;
    deps.slots.take();
    open += 1;
    const over = (): void => {
      deps.slots.release();
      open -= 1;
      if (open === 0) allSettled?.();
    };
    // Neither throws, whatever the handler answered.
    outcome.then(
      (value) => (accept(run, at, value), over()),
      (error: unknown) => (refuse(run, at, error), over()),
    );
  }
  deps.figures.workMs += turn.workMs();
  if (open > 0) await new Promise<void>((resolve) => (allSettled = resolve));
}

/** Starts one item. Answers its promise, or null when it is over already. */
function callOne(run: Run, at: number, handle: NonNullable<Handler['run']>): PromiseLike<unknown> | null {
  try {
    const index = indexAt(run.held, at);
    const context = new ItemContext(run.plan.scope, index, run.held.attempt);
    const output = handle(inputAt(run, index), context);
    if (output !== null && typeof output === 'object' && typeof (output as PromiseLike<unknown>).then === 'function') {
      return Promise.resolve(output as PromiseLike<unknown>);
    }
    accept(run, at, output);
  } catch (error) {
    refuse(run, at, error);
  }
  return null;
}

/** All items in one call. */
async function runTogether(run: Run, handle: NonNullable<Handler['runChunk']>, deps: RunDeps): Promise<void> {
  if (!deps.mayStart() || run.plan.stopped) return;
  const started = performance.now();
  const size = run.state.length;
  try {
    const positions: number[] = [];
    const inputs: unknown[] = [];
    const contexts: ItemContext[] = [];
    for (let at = 0; at < size; at += 1) {
      const index = indexAt(run.held, at);
      try {
        inputs.push(inputAt(run, index));
        positions.push(at);
        contexts.push(new ItemContext(run.plan.scope, index, run.held.attempt));
      } catch (error) {
        refuse(run, at, error);
      }
    }
    const outputs = await handle(inputs, contexts);
    if (!Array.isArray(outputs) || outputs.length !== inputs.length)
      throw new Fail('wrong-output-count', `runChunk must answer ${inputs.length} outputs, one an input`);
    for (const [i, at] of positions.entries()) {
      const output = outputs[i];
      if (output instanceof Error) refuse(run, at, output);
      else accept(run, at, output);
    }
  } catch (error) {
    for (let at = 0; at < size; at += 1) if (run.state[at] === Item.open) refuse(run, at, error);
  }
  deps.figures.workMs += performance.now() - started;
}

const indexAt = (held: Held, at: number): number => held.picks?.[at] ?? held.first + at;

function inputAt(run: Run, index: number): unknown {
  if (run.inputs === null) return undefined;
  const input = run.inputs[index - run.held.src!];
  const schema = run.plan.handler.input;
  if (schema === undefined) return input;
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Fail('invalid-input', `${issue?.path.join('.') || 'input'}: ${issue?.message ?? 'is not valid'}`);
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
  run.retries.set(at, afterMs ?? backoffMs({ attempt, baseMs: run.plan.backoffMs, random: Math.random }));
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
    rests: restsOf(run),
  };
}

function positionsOf(state: Uint8Array, wanted: number): number[] {
  const positions: number[] = [];
  for (let at = 0; at < state.length; at += 1) if (state[at] === wanted) positions.push(at);
  return positions;
}

/** Items that were not started go back as they are; those that failed go back for the next attempt, one rest a wait. */
function restsOf(run: Run): Rest[] {
  const { held, state } = run;
  const rests: Rest[] = [];
  const undone = positionsOf(state, Item.open).map((at) => indexAt(held, at));
  if (undone.length > 0) rests.push(restOf(undone, held.attempt, 0));
  const byWait = new Map<number, number[]>();
  for (const [at, waitMs] of run.retries) {
    const rounded = Math.ceil(waitMs / 250) * 250;
    const indexes = byWait.get(rounded);
    if (indexes === undefined) byWait.set(rounded, [indexAt(held, at)]);
    else indexes.push(indexAt(held, at));
  }
  for (const [delayMs, indexes] of byWait) rests.push(restOf(indexes, held.attempt + 1, delayMs));
  return rests;
}

/** Indexes without a gap need no list. */
function restOf(indexes: number[], attempt: number, delayMs: number): Rest {
  indexes.sort((a, b) => a - b);
  const first = indexes[0]!;
  const gapless = indexes.at(-1)! - first === indexes.length - 1;
  return { first, size: indexes.length, picks: gapless ? null : indexes, attempt, delayMs };
}
