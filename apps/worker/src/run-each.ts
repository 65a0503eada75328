import { type Handler, ItemContext } from '@bullpen/handlers';
import { indexAt } from './rests.ts';
import { accept, acceptMarked, inputAt, refuse, type Run, type RunDeps } from './run.ts';
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
  const turn = createTurn(deps.sliceMs);
  const opens = openItems(run, deps);
  const gone = (): boolean => !deps.mayStart() || run.plan.stopped;
  for (let at = 0; at < run.state.length && run.bytes < deps.sliceMaxBytes; at += 1) {
    const look = turn.isTimeToLook();
    // Items that are over at once wait for nobody; the first that is not may be one too many.
    const wait = run.plan.takesSlots && deps.slots.free <= 0;
    if (look || wait) {
      if (turn.hasRunLong()) await turn.yield();
      // Nothing is awaited between the last look at the slots and the start of the item: others would take the slot.
      while (run.plan.takesSlots && deps.slots.free <= 0 && !gone()) await turn.wait(deps.slots.wait(order, gone));
      if (at === 0) turn.startSlice();
      if (turn.sliceIsOver() || gone()) {
        deps.slots.pass();
        break;
      }
    }
    const context = new ItemContext(run.plan.scope, indexAt(run.held, at), run.held.attempt);
    const outcome = callOne(run, at, handle, context, deps.marks);
    if (outcome === null) continue;
    run.plan.takesSlots = true;
    opens.add(at, context, outcome);
  }
  deps.figures.workMs += turn.workMs();
  await opens.settled();
}

type OpenDeps = Pick<RunDeps, 'slots' | 'timeouts' | 'marks'>;

/**
 * Items that wait for their promise. Each leaves once: by its answer, by its error, or because it took too long; what
 * it says after that is not heard. `onOver` is told of each.
 */
export function openItems(run: Run, { slots, timeouts, marks }: OpenDeps, onOver?: (at: number) => void) {
  let allSettled: (() => void) | null = null;

  function free(at: number): void {
    slots.release(performance.now() - run.startedAt[at]!);
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
