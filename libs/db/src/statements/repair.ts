import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { chunks } from '../schema.ts';

/**
 * Repair: what runs under a worker that is gone waits again, with one crash more.
 *
 * Repeatable: what it freed is not running any more. If the worker lives after all, its late flush is fenced.
 *
 * A worker is gone when it was not seen for a lease. A server that was down says nothing about the workers: time counts
 * from its start at the earliest. The caller runs this only after its own loop has run for a lease without a gap, for
 * a process that was stopped and goes on would else judge by what it slept through.
 */
export function prepareRepair(db: Database) {
  const gone = sql`(w.id is null or greatest(w.seen, pg_postmaster_start_time()) < clock_timestamp() - make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000))`;
  const repaired = db.$with('repaired', { no: chunks.no, size: chunks.size }).as(sql`
    update chunks set state = 'pending', claim = null, worker = null, crashes = crashes + 1
    where state = 'running' and no = any(array(
      select c.no from chunks c left join workers w on w.id = c.worker
      where c.state = 'running' and ${gone} order by c.no for update of c skip locked))
    returning no, size`);
  const query = db.with(repaired).select({ no: repaired.no, size: repaired.size }).from(repaired).prepare('repair');
  return (request: { leaseMs: number }): Promise<{ no: number; size: number }[]> => query.execute(request);
}

/**
 * Forget: the rows of workers that have been gone for an hour and have nothing running.
 *
 * Repeatable: a second run finds nothing. A worker that comes back registers again.
 */
export function prepareForget(db: Database) {
  const gone = db.$with('gone', { id: sql<string>`id`.as('id') }).as(sql`
    delete from workers w where w.seen < clock_timestamp() - interval '1 hour'
      and not exists (select from chunks c where c.worker = w.id and c.state = 'running') returning id`);
  const query = db.with(gone).select({ id: gone.id }).from(gone).prepare('forget');
  return async (): Promise<void> => void (await query.execute());
}
