import { getTableColumns, type SQL, sql } from 'drizzle-orm';
import { bigint, pgTable, smallint, text, timestamp } from 'drizzle-orm/pg-core';
import type { Database } from '../database.ts';
import { results } from '../schema.ts';
import { holds, openInLine } from './open-lines.ts';

/** A result as it is stored; `output` and `error` are JSON text as it was written. */
export interface ResultRow {
  index: number;
  status: 'succeeded' | 'failed';
  attempts: number;
  output: string | null;
  error: string | null;
  fingerprint: string | null;
  finishedAt: Date;
}

export const resultColumns = {
  index: results.index,
  status: sql<ResultRow['status']>`case ${results.status} when 1 then 'succeeded' else 'failed' end`,
  attempts: results.attempt,
  output: sql<string | null>`${results.output}::text`,
  error: sql<string | null>`${results.error}::text`,
  fingerprint: results.fingerprint,
  finishedAt: results.finishedAt,
};

/**
 * What is read of a result, as columns of the name of the CTE: Drizzle asks each value for the kind of its field, and with
 * sql`…` or the CTE's own fields that took a sixth of the time of a stream.
 */
const read = pgTable('read', {
  index: bigint({ mode: 'number' }).notNull(),
  status: text().$type<ResultRow['status']>().notNull(),
  attempts: smallint('attempt').notNull(),
  output: text(),
  error: text(),
  fingerprint: text(),
  finishedAt: timestamp('finished_at', { withTimezone: true, mode: 'date' }).notNull(),
  before: text(),
});
const columns = getTableColumns(read);
const { before: _, ...shown } = columns;

/**
 * Results in index order, after the index `after` (−1: from the start): at most `limit`, and none after the one whose
 * output makes them more than `maxBytes`. None is the end; fewer than `limit` is not. A read by key: a slow reader holds
 * no connection between two of them.
 *
 * The bytes are summed by a window over the limited rows, so that ten small outputs before a thousand of 1 MiB do not
 * bring a gigabyte. It costs some 0.3 ms for 1000 rows.
 */
export function prepareResults(db: Database) {
  const prepare = (name: string, filter: SQL) => {
    const some = db.$with('read', columns).as(sql`
      select r.*, sum(octet_length(output)) over (order by index rows between unbounded preceding and 1 preceding) as before
      from (
        select index, ${resultColumns.status} as status, attempt, output::text as output, error::text as error, fingerprint, finished_at
        from ${results} where batch = ${sql.placeholder('batch')}::int and index > ${sql.placeholder('after')}::bigint ${filter}
        order by index limit ${sql.placeholder('limit')}) r`);
    return db
      .with(some)
      .select(shown)
      .from(some)
      .where(sql`${read.before} is null or ${read.before} < ${sql.placeholder('maxBytes')}`)
      .orderBy(read.index)
      .prepare(name);
  };
  const reads = {
    all: prepare('results', sql``),
    succeeded: prepare('results_succeeded', sql`and status = 1`),
    failed: prepare('results_failed', sql`and status = 2`),
  };
  return ({ status, ...request }: ResultsRequest): Promise<ResultRow[]> => reads[status].execute(request);
}

export interface ResultsRequest {
  batch: number;
  status: 'all' | 'succeeded' | 'failed';
  after: number;
  limit: number;
  maxBytes: number;
}

/** What is known of an item that has no row. */
interface Fate {
  open: boolean;
  gone: boolean;
}

/**
 * Outcome: one item of a batch. A read.
 *
 * An item that was only acknowledged has no row: it is final when no unfinished chunk holds it. `open` says that one
 * does. Each state is asked by the partial index that has it: `state <> 'done'` matches none of them and walked all
 * chunks. What is queued or waits for its backoff is found by no batch, but the queues' windows bound the one, and the
 * other is one chunk for all that one flush put off.
 *
 * `gone` says that the retention has taken it (trim.ts): of this batch some inputs are gone, and its own are not there. No row of
 * inputs begins further before its items than so many.
 */
const spanMax = sql.raw('100000');
export function prepareOutcome(db: Database) {
  const index = sql`${sql.placeholder('index')}::bigint`;
  const batch = sql`${sql.placeholder('batch')}::int`;
  const held = sql`c.batch = ${batch} and c.line is null
    and case when c.picks is null then ${index} >= c.first and ${index} < c.first + c.size else ${index} = any(c.picks) end`;
  const open = sql<boolean>`(
        exists (select from chunks c where c.state = 'pending' and c.not_before is null and c.first <= ${index} and ${held})
        or exists (select from chunks c where c.state = 'pending' and c.not_before is not null and ${held})
        or exists (select from chunks c where c.state = 'queued' and ${held})
        or exists (select from chunks c where c.state = 'running' and ${held})
        or ${openInLine(batch, index)})`;
  const gone = sql<boolean>`(
        exists (select from chunks c where c.batch = ${batch} and c.state = 'done' and c.src = -1)
        and not exists (select from inputs where batch = ${batch} and first > ${index} - ${spanMax} and ${holds(index)}))`;
  const query = db
    .select({
      ...resultColumns,
      open: sql<boolean>`${results.index} is null and ${open}`,
      gone: sql<boolean>`${results.index} is null and ${gone}`,
    })
    .from(sql`(select 1) one`)
    .leftJoin(results, sql`${results.batch} = ${batch} and ${results.index} = ${index}`)
    .prepare('outcome');
  return async (request: { batch: number; index: number }): Promise<Fate & { row: ResultRow | null }> => {
    const [{ open, gone, ...row }] = (await query.execute(request)) as unknown as [ResultRow & Fate];
    return { row: row.index === null ? null : row, open, gone };
  };
}
