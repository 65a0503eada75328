import { and, eq, lte, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { chunks } from '../schema.ts';

/**
 * Due: a chunk whose backoff is over joins the others that wait.
 *
 * Repeatable: a second run finds nothing. Answers how many.
 */
export function prepareDue(db: Database) {
  const query = db
    .update(chunks)
    .set({ notBefore: null })
    .where(and(eq(chunks.state, 'pending'), lte(chunks.notBefore, sql`clock_timestamp()`)))
    .returning({ no: chunks.no })
    .prepare('due');
  return async (): Promise<number> => (await query.execute()).length;
}
