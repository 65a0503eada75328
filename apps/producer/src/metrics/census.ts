import type { BatchState, Standing, Statements } from '@bullpen/db';
import { errorFacts, type Log } from '@bullpen/runtime';
import { within } from '../http/deadline.ts';

/** A scrape waits no longer for the database: it has to tell above all that this is away. */
const answerMs = 2000;
/** To count all batches may take this part of the time: 10 ms once a second, 300 ms each half a minute. */
const countPart = 0.01;

const states: readonly BatchState[] = ['running', 'paused', 'completed', 'cancelled'];

/** What a scrape reads of the database: one cheap statement, and now and then the count of all batches. */
export function createCensus({
  statements,
  log,
}: {
  statements: Pick<Statements, 'standing' | 'batchStates'>;
  log: Log;
}) {
  let standing: Standing | null = null;
  let batches: (readonly [BatchState, number])[] = [];
  let countAt = -Infinity;

  async function count(): Promise<void> {
    const startedAt = performance.now();
    if (startedAt < countAt) return;
    const counts = new Map((await statements.batchStates()).map(({ state, count }) => [state, count]));
    batches = states.map((state) => [state, counts.get(state) ?? 0]);
    const now = performance.now();
    countAt = now + (now - startedAt) / countPart;
  }

  return {
    /** Null: the database did not answer the last time. */
    standing: (): Standing | null => standing,
    batches: () => (standing === null ? [] : batches),
    async read(): Promise<void> {
      try {
        [standing] = await within(answerMs, Promise.all([statements.standing(), count()]));
      } catch (error) {
        standing = null;
        log.debug(errorFacts(error), 'the metrics lack what the database knows');
      }
    },
  };
}

export type Census = ReturnType<typeof createCensus>;
