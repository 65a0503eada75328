import { ItemContext } from '@bullpen/handlers';
import { describeError } from './outputs.ts';
import type { Plan } from './plans.ts';
import { TimeoutError } from './timeouts.ts';
import { type Marks, start } from './watchdog/marks.ts';

/** Parses the params of a batch and runs its handler's `start`. Answers why no item of it can run, if so. */
export async function prepare(plan: Plan, chunk: number, marks: Marks): Promise<Error | null> {
  const { row, handler, scope, timeoutMs, gate } = plan;
  let late: NodeJS.Timeout | undefined;
  try {
    // By this its `ctx.limit` knows whether to wait: it runs beside the first look at the limits.
    if (handler.start !== undefined) await gate.refresh();
    marks.enter(chunk, start, timeoutMs);
    if (handler.params) scope.params = handler.params.parse(row.params ?? undefined);
    else scope.params = row.params ?? undefined;
    const context = new ItemContext(scope, 0, 1);
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
