import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/**
 * Forget: the rows of workers that have been gone for an hour and have nothing running, keys that are over, and permits of nobody.
 *
 * Repeatable: a second run finds nothing. A worker that comes back registers again.
 */
export function prepareForget(db: Database) {
  const gone = db.$with('gone', { id: sql<string>`id`.as('id') }).as(sql`
    delete from workers w where w.seen < clock_timestamp() - interval '1 hour'
      and not exists (select from chunks c where c.worker = w.id and c.state = 'running') returning id`);
  const over = db.$with('over', {}).as(sql`
    delete from idempotency where ctid = any(array(
      select ctid from idempotency where expires_at < statement_timestamp() - interval '1 minute' limit 10000 for update skip locked))`);
  const unheld = db.$with('unheld', {}).as(sql`
    delete from permits where ctid = any(array(select ctid from permits where seen < statement_timestamp() - interval '1 hour' for update skip locked))`);
  const query = db.with(gone, over, unheld).select({ id: gone.id }).from(gone).prepare('forget');
  return async (): Promise<void> => void (await query.execute());
}
