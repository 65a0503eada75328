import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { codeOf } from '../retry.ts';

/**
 * Extend: a range is there before its batch numbers are: the next one is added when 500 of the last one are left.
 *
 * Repeatable: it looks first. Two at once add one more than needed, which the next batches use.
 */
export function prepareExtend(db: Database) {
  const query = db
    .select({ last: sql<number | null>`case when last_value > max_value - 500 then extend_ranges() end` })
    .from(sql`pg_sequences`)
    .where(sql`sequencename = 'batches_no' and schemaname = current_schema()`)
    .prepare('extend');
  return async (): Promise<void> => void (await query.execute());
}

/**
 * Runs a statement that draws a batch number, and adds a range first where it fails with 2200H: none holds the next number
 * yet. The loop that adds them ahead was outrun.
 */
export function prepareExtended(db: Database) {
  const extend = db
    .select({ last: sql<number>`extend_ranges()` })
    .from(sql`(select 1) one`)
    .prepare('extend_ranges');
  return async <Answer>(run: () => Promise<Answer>): Promise<Answer> => {
    try {
      return await run();
    } catch (error) {
      if (codeOf(error) !== '2200H') throw error;
      await extend.execute();
      return run();
    }
  };
}
