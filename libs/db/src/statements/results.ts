import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { results } from '../schema.ts';

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
 * A page of results in index order, after the index `after` (−1: from the start). A read by key: a slow reader holds no
 * connection between two pages.
 */
export function prepareResults(db: Database) {
  const page = (name: string, status: 1 | 2 | null) =>
    db
      .select(resultColumns)
      .from(results)
      .where(
        sql`${results.batch} = ${sql.placeholder('batch')} and ${results.index} > ${sql.placeholder('after')}${status === null ? sql`` : status === 2 ? sql` and ${results.status} = 2` : sql` and ${results.status} = 1`}`,
      )
      .orderBy(results.index)
      .limit(sql.placeholder('limit'))
      .prepare(name);
  const pages = {
    all: page('results', null),
    succeeded: page('results_succeeded', 1),
    failed: page('results_failed', 2),
  };
  return (request: {
    batch: number;
    after: number;
    limit: number;
    status: 'all' | 'succeeded' | 'failed';
  }): Promise<ResultRow[]> => pages[request.status].execute(request);
}

/**
 * Outcome: one item of a batch. A read.
 *
 * An item that was only acknowledged has no row: it is final when no unfinished chunk holds it. `open` says that one
 * does.
 */
export function prepareOutcome(db: Database) {
  const index = sql`${sql.placeholder('index')}::int`;
  const batch = sql`${sql.placeholder('batch')}::int`;
  const query = db
    .select({
      ...resultColumns,
      open: sql<boolean>`exists (select from chunks c where c.batch = ${batch} and c.state <> 'done'
        and case when c.picks is null then ${index} >= c.first and ${index} < c.first + c.size else ${index} = any(c.picks) end)`,
    })
    .from(sql`(select 1) one`)
    .leftJoin(results, sql`${results.batch} = ${batch} and ${results.index} = ${index}`)
    .prepare('outcome');
  return async (request: { batch: number; index: number }): Promise<{ row: ResultRow | null; open: boolean }> => {
    const [{ open, ...row }] = (await query.execute(request)) as unknown as [ResultRow & { open: boolean }];
    return { row: row.index === null ? null : row, open };
  };
}
