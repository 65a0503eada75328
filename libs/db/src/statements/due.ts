import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { chunks } from '../schema.ts';

/**
 * Due: a chunk whose backoff is over joins the others that wait.
 *
 * Repeatable: a second run finds nothing. Answers how many.
 *
 * By the clock of the statement: no index can answer what moves while it is read, so clock_timestamp() read all that wait,
 * 20 ms with 40 000 chunks, in each round of publishing. The state stands in its text: a plan that is kept knows no
 * parameter, and takes a partial index only where the text says what the index holds.
 */
export function prepareDue(db: Database) {
  const query = db
    .update(chunks)
    .set({ notBefore: null })
    .where(sql`${chunks.state} = 'pending' and ${chunks.notBefore} <= statement_timestamp()`)
    .returning({ no: chunks.no })
    .prepare('due');
  return async (): Promise<number> => (await query.execute()).length;
}
