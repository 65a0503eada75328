import { Fail, type Handler, ItemContext } from '@bullpen/handlers';
import { Item } from './outputs.ts';
import { indexAt } from './rests.ts';
import { acceptMarked, inputAt, refuse, type Run, type RunDeps } from './run.ts';
import { isThenable } from './thenable.ts';
import { TimeoutError, type Timeouts } from './timeouts.ts';
import { type Marks, together } from './watchdog/marks.ts';

/**
 * All items in one call, which may take `timeoutMs` as one item may. Of one that takes longer nobody knows which item it
 * hangs on, so each is tried again alone.
 */
export async function runTogether(run: Run, handle: NonNullable<Handler['runChunk']>, deps: RunDeps): Promise<void> {
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
        inputs.push(inputAt(run, at));
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
