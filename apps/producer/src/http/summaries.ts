import type { BatchRow, ReducedRow, Statements } from '@bullpen/db';
import { type Catalog, type Handler, mergeReduced, summaryOf } from '@bullpen/handlers';
import { errorFacts, type Log } from '@bullpen/runtime';
import { createFold } from '../publish/fold.ts';
import { HttpProblem } from './problem.ts';

/** Folds that one request does at most where partials have piled up, as after hours without a producer. */
const foldsMax = 20;
/** Batches of which is remembered that their summary could not be made: it is said once. */
const toldMax = 1000;

export type Summaries = ReturnType<typeof createSummaries>;

/** Summaries of batches, as `reduce` of their handlers makes them. */
export function createSummaries(deps: { statements: Statements; handlers: Catalog; log: Log }) {
  const { statements, handlers, log } = deps;
  const foldOnce = createFold(deps);
  const told = new Set<string>();

  /** Null where it is unknown or `reduce` throws: the batch is shown all the same. */
  function summaryFor(handler: Handler, row: ReducedRow, partials: readonly string[]): unknown {
    const texts = row.folded === null ? partials : [row.folded, ...partials];
    if (texts.length === 0) return null;
    try {
      const params = handler.params ? handler.params.parse(row.params ?? undefined) : (row.params ?? undefined);
      return summaryOf(handler.reduce!, mergeReduced(handler.reduce!, texts), params) ?? null;
    } catch (error) {
      if (!told.has(row.id))
        log.error({ batchId: row.id, handler: handler.name, ...errorFacts(error) }, 'a summary cannot be made');
      told.add(row.id);
      if (told.size > toldMax) told.clear();
      return null;
    }
  }

  return {
    /**
     * The batch with its summary, both of one snapshot. Costs a second read where the handler reduces, none elsewhere.
     * What is too much to read at once is folded first.
     */
    async read(batch: BatchRow): Promise<{ row: BatchRow; summary: unknown }> {
      const handler = handlers.get(batch.handler);
      if (handler?.reduce === undefined) return { row: batch, summary: null };
      for (let folds = 0; folds < foldsMax; folds += 1) {
        const row = await statements.reduced(batch.id);
        if (row === null) throw new HttpProblem('not-found', 'There is no such batch');
        if (row.partials !== null) return { row, summary: summaryFor(handler, row, row.partials) };
        await foldOnce(row.no);
      }
      throw new HttpProblem('busy', 'The summary of this batch is still being folded', {
        headers: { 'Retry-After': '1' },
      });
    },
  };
}
