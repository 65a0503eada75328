import { LRUCache } from 'lru-cache';
import type { BatchRow, ReducedRow, Statements } from '@bullpen/db';
import type { Catalog } from '@bullpen/handlers';
import { errorFacts, type Log } from '@bullpen/runtime';
import { createFold } from '../publish/fold.ts';
import { ReduceFailed, type Reducer } from '../reduce/reducer.ts';
import { noSummary, type Summary } from './batch-answer.ts';
import { HttpProblem } from './problem.ts';

/** Folds that one request does at most where partials have piled up, as after hours without a producer. */
const foldsMax = 20;
/** A summary that could not be made is tried again after this long: until then it is not asked for, and not said again. */
const againMs = 60_000;
/** Batches of which that is remembered. */
const failedMax = 1000;
/** The thread is busy with others. */
const patienceMs = 3000;

const unknownError = 'a part of this batch could not be reduced: the log of a worker or of the producer says why';

export type Summaries = ReturnType<typeof createSummaries>;

/** Summaries of batches, as `reduce` of their handlers makes them. */
export function createSummaries(deps: { statements: Statements; handlers: Catalog; reducer: Reducer; log: Log }) {
  const { statements, handlers, reducer, log } = deps;
  const foldOnce = createFold(deps);
  const failed = new LRUCache<string, string>({ max: failedMax, ttl: againMs });

  async function summaryOf(row: ReducedRow, partials: readonly string[]): Promise<Summary> {
    const { handler, params, id } = row;
    const texts = row.folded === null ? partials : [row.folded, ...partials];
    if (texts.length === 0) return noSummary;
    const known = failed.get(id);
    if (known !== undefined) return { summary: null, summaryError: known };
    try {
      const summary = JSON.parse(await inTime(reducer.ask({ handler, texts, summary: { params } }))) as unknown;
      return { summary, summaryError: summary === null ? unknownError : null };
    } catch (error) {
      if (!(error instanceof ReduceFailed)) throw error;
      log.error({ batchId: id, handler, ...errorFacts(error) }, 'a summary cannot be made');
      failed.set(id, error.message);
      return { summary: null, summaryError: error.message };
    }
  }

  return {
    /**
     * The batch with its summary, both of one snapshot. Costs a second read where the handler reduces, none elsewhere.
     * What is too much to read at once is folded first. Where `reduce` fails the batch is shown all the same.
     */
    async read(batch: BatchRow): Promise<Summary & { row: BatchRow }> {
      if (handlers.get(batch.handler)?.reduce === undefined) return { row: batch, ...noSummary };
      for (let folds = 0; folds < foldsMax; folds += 1) {
        const row = await statements.reduced(batch.id);
        if (row === null) throw new HttpProblem('not-found', 'There is no such batch');
        if (row.partials !== null) return { row, ...(await summaryOf(row, row.partials)) };
        await foldOnce(row.no);
      }
      throw isBusy();
    },
  };
}

const isBusy = (): HttpProblem =>
  new HttpProblem('busy', 'The summary of this batch is still being made', { headers: { 'Retry-After': '1' } });

async function inTime<Answer>(answer: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(isBusy()), patienceMs);
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
