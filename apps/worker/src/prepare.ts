import { ItemContext } from '@bullpen/handlers';
import { describeError } from './outputs.ts';
import type { Plan } from './plans.ts';
import { TimeoutError } from './timeouts.ts';
import { type Marks, start } from './watchdog/marks.ts';

/** Parses the params of a batch and runs its handler's `start`. Answers why no item of it can run, if so. */
export async function prepare(plan: Plan, chunk: number, marks: Marks): Promise<Error | null> {
  const { row, handler, scope, timeoutMs } = plan;
  let late: NodeJS.Timeout | undefined;
  try {
    marks.enter(chunk, start, timeoutMs);
    if (handler.params) scope.params = handler.params.parse(row.params ?? undefined);
    else scope.params = row.params ?? undefined;
    const context = new ItemContext(lookingFirst(plan), 0, 1);
    // Where it has threads, each of them starts it.
    const started = handler.threads === undefined ? handler.start?.(context) : undefined;
    marks.leave();
    if (started === undefined) return null;
    const tooLate = new Promise<never>((_, reject) => {
      late = setTimeout(() => {
        const error = new TimeoutError(timeoutMs);
        ItemContext.end(context, error);
        reject(error);
      }, timeoutMs);
    });
    await Promise.race([started, tooLate]);
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(describeError(error).message);
  } finally {
    marks.leave();
    clearTimeout(late);
  }
}

/**
 * The scope of `start`, which runs beside the first look at the limits: its `ctx.limit` looks by itself. Nothing is waited for before `start`: what is in
 * hand by then would count as what the worker died with.
 */
function lookingFirst({ scope, gate }: Plan): Plan['scope'] {
  const further = async (n: number, signal: AbortSignal): Promise<void> => {
    await gate.refresh();
    if (gate.limited) await gate.further(n, signal);
  };
  return Object.create(scope, { gate: { value: { limited: true, further } } }) as Plan['scope'];
}
