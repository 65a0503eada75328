import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { results } from '../schema.ts';
import { type ResultRow, resultColumns } from './results.ts';

/** The failures of one cause in a batch. */
export interface FailureRow {
  /** Null: rows from before there were fingerprints. */
  fingerprint: string | null;
  count: number;
  firstIndex: number;
  lastIndex: number;
  /** The first one. */
  sample: ResultRow;
  /** How many causes there are, beside this one too. */
  causes: number;
}

/**
 * Failures: those of a batch by cause, the most frequent first. A read of failed rows only (`results_failed`), but of all of
 * them.
 */
export function prepareFailures(db: Database) {
  const batch = sql`${sql.placeholder('batch')}::int`;
  const cause = db.$with('cause', {
    fingerprint: results.fingerprint,
    count: sql<number>`count`.as('count'),
    first: sql<number>`first`.as('first'),
    last: sql<number>`last`.as('last'),
    causes: sql<number>`causes`.as('causes'),
  }).as(sql`
    select fingerprint, count(*)::float8 as count, min(index) as first, max(index) as last, (count(*) over ())::int as causes
    from ${results} where batch = ${batch} and status = 2 group by fingerprint
    order by count desc, first limit ${sql.placeholder('limit')}`);
  const query = db
    .with(cause)
    .select({
      fingerprint: cause.fingerprint,
      count: cause.count,
      firstIndex: sql<number>`${cause.first}::float8`,
      lastIndex: sql<number>`${cause.last}::float8`,
      causes: cause.causes,
      sample: resultColumns,
    })
    .from(cause)
    .innerJoin(results, sql`${results.batch} = ${batch} and ${results.index} = ${cause.first}`)
    .orderBy(sql`${cause.count} desc`, sql`${cause.first}`)
    .prepare('failures');
  return (request: { batch: number; limit: number }): Promise<FailureRow[]> => query.execute(request);
}
