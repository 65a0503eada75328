import { type Handler, ItemContext } from '@bullpen/handlers';
import { createAway } from './away.ts';
import { createPatience } from './limits/patience.ts';
import { indexAt } from './rests.ts';
import { accept, acceptMarked, inputAt, refuse, type Run, type RunDeps } from './run.ts';
import type { Places } from './slots.ts';
import { isThenable } from './thenable.ts';
import { TimeoutError } from './timeouts.ts';
import { createTurn } from './turn.ts';
import type { Marks } from './watchdog/marks.ts';

/** Item by item. A synchronous handler costs no promise; one that answers a promise holds a slot until it settles. */
export async function runEach(
  run: Run,
  handle: NonNullable<Handler['run']>,
  order: number,
  deps: RunDeps,
): Promise<void> {
  const { slots, sliceMs, stepAside } = deps;
  const { gate } = run.plan;
  const turn = createTurn(sliceMs);
  const opens = openItems(run, deps);
  const ticket = gate.enter(run.state.length);
  const gone = (): boolean => !deps.mayStart() || run.plan.stopped;
  const patience = createPatience(ticket, { turn, order, gone, stepAside, sliceMs });
  // Items that are over at once wait for no slot; the first that is not may be one too many.
  const hasSlot = (): boolean => !run.plan.takesSlots || slots.free > 0;
  /** Items that may start, all of them before anything is awaited. */
  let granted = 0;
  function take(): boolean {
    if (!hasSlot()) return false;
    if (!gate.limited) return true;
    if (granted === 0)
      granted = ticket.take(run.plan.takesSlots ? Math.min(slots.free, turn.untilLook()) : turn.untilLook());
    if (granted === 0) return false;
    granted -= 1;
    return true;
  }
  const isOver = (at: number): boolean =>
    gone() || (at === 0 ? patience.isOut() : turn.sliceIsOver() && ticket.mayGo());
  for (let at = 0; at < run.state.length && run.bytes < deps.sliceMaxBytes; at += 1) {
    const look = turn.isTimeToLook();
    if (look && turn.hasRunLong()) await turn.yield();
    if (look && gate.isStale()) await turn.wait(gate.refresh());
    // Nothing is awaited between the last look at the slots and the start of the item: others would take the slot.
    let taken = take();
    if (look || !taken) {
      while (!taken && !isOver(at)) {
        // What was given is lost, but these items still would start: without being counted, the last ones would get nothing.
        if (granted > 0) ticket.set(run.state.length - at);
        granted = 0;
        await (hasSlot() ? patience.wait(at > 0) : turn.wait(slots.wait(order, gone)));
        taken = take();
        if (!taken) slots.passSoon();
      }
      if (at === 0) turn.startSlice();
      if (!taken || gone() || (turn.sliceIsOver() && !gate.limited)) {
        slots.pass();
        break;
      }
    }
    const context = new ItemContext(run.plan.scope, indexAt(run.held, at), run.held.attempt);
    const outcome = callOne(run, at, handle, context, deps.marks);
    if (outcome !== null) {
      run.plan.takesSlots = true;
      gate.holdsSlots();
      opens.add(at, context, outcome);
    }
    // What was leased for it is used first.
    if (look && gate.limited && isOver(at + 1)) break;
  }
  ticket.leave();
  run.waitMs = patience.backMs();
  deps.figures.workMs += turn.workMs();
  await opens.settled();
}

type OpenDeps = Pick<RunDeps, 'timeouts' | 'marks'> & { slots: Places };

/**
 * Items that wait for their promise. Each leaves once: by its answer, by its error, or because it took too long; what
 * it says after that is not heard. `onOver` is told of each.
 */
export function openItems(run: Run, { slots, timeouts, marks }: OpenDeps, onOver?: (at: number) => void) {
  const { gate } = run.plan;
  const away = createAway(run, slots);
  let allSettled: (() => void) | null = null;

  function free(at: number): void {
    const ranMs = away.end(at);
    if (ranMs !== null) slots.release(ranMs);
    gate.use(-1);
    if (run.open.size === 0) timeouts.unwatch(run);
    onOver?.(at);
    if (run.open.size === 0) allSettled?.();
  }
  function reject(at: number, error: unknown): void {
    if (!run.open.delete(at)) return;
    refuse(run, at, error);
    free(at);
  }
  function resolve(at: number, output: unknown): void {
    if (!run.open.delete(at)) return;
    acceptMarked(run, at, output, marks);
    free(at);
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
      gate.use(1);
      if (run.open.size === 0) timeouts.watch(run);
      run.open.set(at, context);
      if (run.startedAt.length === 0) run.startedAt = new Float64Array(run.state.length);
      run.startedAt[at] = performance.now();
      ItemContext.attach(context, away, at);
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
export function callOne(
  run: Run,
  at: number,
  handle: NonNullable<Handler['run']>,
  context: ItemContext,
  marks: Marks,
): PromiseLike<unknown> | null {
  marks.enter(run.held.no, context.index, run.timeoutMs);
  try {
    const output = handle(inputAt(run, at), context);
    if (isThenable(output)) return Promise.resolve(output);
    accept(run, at, output);
  } catch (error) {
    refuse(run, at, error);
  } finally {
    marks.leave();
  }
  return null;
}
