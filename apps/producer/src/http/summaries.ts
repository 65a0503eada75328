import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { BatchRow, ReducedRow, Statements } from '@bullpen/db';
import type { Catalog } from '@bullpen/handlers';
import { errorFacts, type Log } from '@bullpen/runtime';
import { createFold } from '../publish/fold.ts';
import type { Reducer } from '../reduce/reducer.ts';
import { ReduceFailed } from '../reduce/thread-link.ts';
import { noSummary, type Summary } from './batch-answer.ts';
import { HttpProblem } from './problem.ts';

/** Folds that one request does at most where partials have piled up, as after hours without a producer. */
const foldsMax = 20;
/** A summary that could not be made is tried again after this long: until then it is not asked for, and not said again. */
const againMs = 60_000;
/** Batches of which that is remembered. */
const failedMax = 1000;
/** Longer than this nobody waits for a summary: the batch is shown without. */
const patienceMs = 2000;

const nowhereError = 'it cannot be made at the moment: the log of the producer says why';
const unknownError = 'a part of this batch could not be reduced: the log of a worker or of the producer says where';

export type Summaries = ReturnType<typeof createSummaries>;

/** Summaries of batches, as `reduce` of their handlers makes them. */
export function createSummaries(deps: { statements: Statements; handlers: Catalog; reducer: Reducer; log: Log }) {
  const { statements, handlers, reducer, log } = deps;
  const foldOnce = createFold(deps);
  const failed = new LRUCache<string, string>({ max: failedMax, ttl: againMs });
  /** Batches whose summary takes longer than anybody waits: no further look asks for it meanwhile. */
  const slow = new Set<string>();

  async function summaryOf({ folded, handler, params, id }: ReducedRow, partials: readonly string[]): Promise<Summary> {
    const texts = folded === null ? partials : [folded, ...partials];
    if (texts.length === 0) return noSummary;
    const known = failed.get(id);
    if (known !== undefined) return { summary: null, summaryError: known };
    try {
      const summary = JSON.parse(await reducer.ask({ handler, texts, summary: { params } })) as unknown;
      return { summary, summaryError: summary === null ? unknownError : null };
    } catch (error) {
      const isHandlers = error instanceof ReduceFailed;
      const summaryError = isHandlers ? error.message : nowhereError;
      const facts = isHandlers ? error.place : errorFacts(error);
      log.error({ batchId: id, handler, ...facts }, 'a summary cannot be made');
      failed.set(id, summaryError);
      return { summary: null, summaryError };
    }
  }

  async function make(batch: BatchRow): Promise<BatchAndSummary> {
    for (let folds = 0; folds < foldsMax; folds += 1) {
      const row = await statements.reduced(batch.id);
      if (row === null) throw new HttpProblem('not-found', 'There is no such batch');
      if (row.partials !== null) return { row, ...(await summaryOf(row, row.partials)) };
      await foldOnce(row.no);
    }
    return { row: batch, ...stillMade };
  }

  return {
    /**
     * The batch with its summary, both of one snapshot. Costs a second read where the handler reduces, none elsewhere.
     * What is too much to read at once is folded first. Where `reduce` fails, or takes long, the batch is shown without.
     */
    async read(batch: BatchRow): Promise<BatchAndSummary> {
      const { id } = batch;
      if (handlers.get(batch.handler)?.reduce === undefined) return { row: batch, ...noSummary };
      const without = { row: batch, ...stillMade };
      if (slow.has(id)) return without;
      const made = make(batch);
      const late = new AbortController();
      const answer = await Promise.race([made, sleep(patienceMs, null, { signal: late.signal })]).finally(() =>
        late.abort(),
      );
      if (answer !== null) return answer;
      slow.add(id);
      made.catch(() => undefined).finally(() => slow.delete(id));
      return without;
    },
  };
}

type BatchAndSummary = Summary & { row: BatchRow };

const stillMade: Summary = { summary: null, summaryError: 'it is still being made: look again' };
