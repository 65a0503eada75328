import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/**
 * Extend: partitions of `results` are there before the batch numbers are: the next thousand is added when half of the
 * last one is used.
 *
 * Repeatable: it looks first. Two at once add one more than needed, which the next thousand batches use.
 */
export function prepareExtend(db: Database) {
  const query = db
    .select({ last: sql<number | null>`case when last_value > max_value - 500 then extend_results() end` })
    .from(sql`pg_sequences`)
    .where(sql`sequencename = 'batches_no' and schemaname = current_schema()`)
    .prepare('extend');
  return async (): Promise<void> => void (await query.execute());
}
