import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { uploads } from '../schema.ts';

/**
 * Abort: an upload that was refused or cut is dead, and its key is free.
 *
 * Repeatable: it sets what should be so. One that is live has no row here, and its key has a hash.
 */
export function prepareAbortUpload(db: Database) {
  const id = sql`${sql.placeholder('id')}::uuid`;
  const dead = db
    .$with('dead', { no: uploads.no })
    .as(sql`update uploads set dead = true where id = ${id} returning no`);
  const freed = db.$with('freed', {}).as(sql`
    delete from idempotency where batch = ${id} and hash is null and (select count(*) from dead) >= 0`);
  const query = db.with(dead, freed).select({ no: dead.no }).from(dead).prepare('abort_upload');
  return async (id: string): Promise<void> => void (await query.execute({ id }));
}

/**
 * Clean up: uploads whose producer was not heard of for a lease are dead from now on; the numbers of those that were dead
 * before become garbage. Answers how many.
 *
 * Repeatable: it sets what should be so. An upload that goes live at the same time holds its row: one of both finds it gone,
 * or dead. A put that is under way shares a lock on it, and is left to end.
 */
export function prepareCleanUploads(db: Database) {
  const lease = sql`make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)`;
  const dying = db.$with('dying', {}).as(sql`
    update uploads set dead = true where not dead and greatest(seen, pg_postmaster_start_time()) < clock_timestamp() - ${lease}`);
  const gone = db.$with('gone', { no: uploads.no }).as(sql`
    delete from uploads where no = any(array(select no from uploads where dead order by no for update skip locked)) returning no, id`);
  const buried = db.$with('buried', {}).as(sql`
    insert into garbage (no, id, rows_at) select no, id, clock_timestamp() from gone`);
  const query = db.with(dying, gone, buried).select({ no: gone.no }).from(gone).prepare('clean_uploads');
  return async (request: { leaseMs: number }): Promise<number> => (await query.execute(request)).length;
}
