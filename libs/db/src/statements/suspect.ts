import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { chunks } from '../schema.ts';
import { suspectFrom } from './claim.ts';

/**
 * Suspect: a row in a line is one from now on, as if workers had died with it, which its worker's watchdog says before the process ends:
 * in a call for many of its items, so that nobody knows whose it was. Each of them is alone then, and has used no attempt.
 *
 * Repeatable: it sets what should be so; the row is the worker's own until `abandon`.
 */
export function prepareSuspect(db: Database) {
  const suspected = db.$with('suspected', { no: chunks.no }).as(sql`
    update chunks c set crashes = greatest(crashes, ${sql.raw(String(suspectFrom))})
    where c.no = ${sql.placeholder('no')}::bigint and c.worker = ${sql.placeholder('worker')}::uuid and c.state = 'running' and c.line is not null
    returning c.no`);
  const query = db.with(suspected).select({ no: suspected.no }).from(suspected).prepare('suspect');
  return async (request: { worker: string; no: number }): Promise<boolean> => (await query.execute(request)).length > 0;
}
