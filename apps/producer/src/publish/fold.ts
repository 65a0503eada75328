import type { Statements, Unfolded } from '@bullpen/db';
import { type Catalog, unknownReduced } from '@bullpen/handlers';
import type { Log } from '@bullpen/runtime';
import type { Reducer } from '../reduce/reducer.ts';
import { ReduceFailed } from '../reduce/thread-link.ts';

export interface FoldDeps {
  statements: Pick<Statements, 'unfolded' | 'fold'>;
  handlers: Catalog;
  reducer: Reducer;
  log: Log;
}

/**
 * Folds partials of one batch into its summary: of the given batch, or of the one that has waited longest. Answers how many
 * partials it read; 0: there are none of a handler that this producer knows.
 *
 * Level-triggered, and harmless when several producers do the same: the statement lets one of them win. A `merge` that
 * throws, never ends or makes too much must not stop the others: the summary of that batch is unknown from then on.
 */
export function createFold({ statements, handlers, reducer, log }: FoldDeps) {
  const reducing = [...handlers.values()].filter(({ reduce }) => reduce !== undefined).map(({ name }) => name);

  async function merge({ handler, batch, folded, partials }: Unfolded): Promise<string> {
    try {
      return await reducer.ask({ handler, texts: folded === null ? partials : [folded, ...partials] });
    } catch (error) {
      if (!(error instanceof ReduceFailed)) throw error;
      log.error({ batch, handler, ...error.place }, 'reduce failed: the batch will have no summary');
      return unknownReduced;
    }
  }

  return async function foldOnce(batch: number | null): Promise<number> {
    if (reducing.length === 0) return 0;
    const unfolded = await statements.unfolded({ handlers: reducing, batch });
    if (unfolded === null) return 0;
    await statements.fold({ ...unfolded, folded: await merge(unfolded) });
    return unfolded.nos.length;
  };
}

/** Batches of one round. Partials that gather between two rounds make a fold cheaper; who asks for a summary reads those that wait. */
const roundMax = 50;
const nextMs = { more: 10, some: 250, none: 1000 } as const;

/** One round of folding: every batch that waits. Answers after how many ms to look again. */
export async function foldRound(foldOnce: ReturnType<typeof createFold>): Promise<number> {
  for (let folds = 0; folds < roundMax; folds += 1) {
    if ((await foldOnce(null)) === 0) return folds > 0 ? nextMs.some : nextMs.none;
  }
  return nextMs.more;
}
