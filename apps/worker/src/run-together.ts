import { setTimeout as sleep } from 'node:timers/promises';
import { Fail, type Handler, ItemContext } from '@bullpen/handlers';
import { createPatience } from './limits/patience.ts';
import { Item } from './outputs.ts';
import { indexAt } from './rests.ts';
import { acceptMarked, inputAt, refuse, type Run, type RunDeps } from './run.ts';
import { isThenable } from './thenable.ts';
import { TimeoutError, type Timeouts } from './timeouts.ts';
import { createTurn } from './turn.ts';
import { type Marks, together } from './watchdog/marks.ts';

type RunChunk = NonNullable<Handler['runChunk']>;

/** Items that may start within this time after the first go into one call with it. */
const gatherMs = 10;

/**
 * All items in one call, which may take `timeoutMs` as one item may. Of one that takes longer nobody knows which item it
 * hangs on, so each is tried again alone. Where something limits the batch, in calls of as many as may start.
 */
export async function runTogether(run: Run, handle: RunChunk, order: number, deps: RunDeps): Promise<void> {
  const { sliceMs, stepAside } = deps;
  const { gate } = run.plan;
  const gone = (): boolean => !deps.mayStart() || run.plan.stopped;
  if (gone()) return;
  const size = run.state.length;
  if (!gate.limited) return runSome(run, handle, [0, size], deps);
  const turn = createTurn(sliceMs);
  const ticket = gate.enter(size);
  const patience = createPatience(ticket, { turn, order, gone, stepAside, sliceMs });
  const isOver = (at: number): boolean =>
    gone() || (at === 0 ? patience.isOut() : turn.sliceIsOver() && ticket.mayGo());
  for (let at = 0; at < size && !isOver(at);) {
    let upto = at;
    for (; upto < size && ticket.tryTake(); upto += 1) gate.use(1);
    if (upto === at) {
      await patience.wait(at > 0);
      await sleep(gatherMs);
      continue;
    }
    if (at === 0) turn.startSlice();
    await runSome(run, handle, [at, upto], deps);
    gate.use(at - upto);
    at = upto;
  }
  ticket.leave();
  run.waitMs = patience.backMs();
}

/** The items from the first to before the second position. */
async function runSome(run: Run, handle: RunChunk, [from, upto]: [number, number], deps: RunDeps): Promise<void> {
  const started = performance.now();
  const refuseOpen = (error: unknown): void => {
    for (let at = from; at < upto; at += 1) if (run.state[at] === Item.open) refuse(run, at, error);
  };
  try {
    const { positions, outputs } = callTogether(run, handle, [from, upto], deps.marks);
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
function callTogether(run: Run, handle: RunChunk, [from, upto]: [number, number], marks: Marks) {
  const positions = new Map<number, ItemContext>();
  const inputs: unknown[] = [];
  marks.enter(run.held.no, upto - from === 1 ? indexAt(run.held, from) : together, run.timeoutMs);
  try {
    for (let at = from; at < upto; at += 1) {
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

/** The answer to a call for these items, or TimeoutError. The time does not run while one of them waits for slots of a limit. */
async function inTime<Answer>(
  run: Run,
  answer: PromiseLike<Answer>,
  items: ReadonlyMap<number, ItemContext>,
  timeouts: Timeouts,
): Promise<Answer> {
  run.open = new Map(items);
  run.startedAt = new Float64Array(run.state.length).fill(performance.now());
  attachAll(run, items);
  timeouts.watch(run);
  try {
    return await Promise.race([
      answer,
      new Promise<never>((_, reject) => {
        run.expire = () => {
          const error = new TimeoutError(run.timeoutMs);
          run.open.clear();
          run.apart = items.size > 1;
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

function attachAll(run: Run, items: ReadonlyMap<number, ItemContext>): void {
  let away = 0;
  let ranMs = 0;
  const place = {
    leave(at: number): void {
      away += 1;
      if (away > 1) return;
      ranMs = performance.now() - run.startedAt[at]!;
      run.startedAt.fill(Infinity);
    },
    enter(): void {
      away -= 1;
      if (away === 0) run.startedAt.fill(performance.now() - ranMs);
    },
  };
  for (const [at, context] of items) ItemContext.attach(context, place, at);
}
