import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { uploads } from '../schema.ts';

/** Rows of inputs, of chunks and of results that one clean-up deletes at most. */
const portion = 500;

/**
 * Abort: an upload that was refused or cut goes to the clean-up at once, and its key is free.
 *
 * Repeatable: it sets what should be so. One that is live has no row here, and its key has a hash.
 */
export function prepareAbortUpload(db: Database) {
  const id = sql`${sql.placeholder('id')}::uuid`;
  const dead = db
    .$with('dead', { no: uploads.no })
    .as(sql`update uploads set dead = true where id = ${id} returning no`);
  const freed = db.$with('freed', {}).as(sql`
    delete from idempotency where batch = ${id} and hash is null and owner = '' and (select count(*) from dead) >= 0`);
  const query = db.with(dead, freed).select({ no: dead.no }).from(dead).prepare('abort_upload');
  return async (id: string): Promise<void> => void (await query.execute({ id }));
}

/**
 * Clean up: uploads whose producer was not heard of for a lease are dead from now on; of those that are dead a portion of
 * rows goes, and with the last of them the upload. Answers whether there is more.
 *
 * Repeatable: it deletes what should not be there. An upload that goes live at the same time holds its row: one of both
 * finds it gone, or dead.
 */
export function prepareCleanUploads(db: Database) {
  const lease = sql`make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)`;
  const most = sql.raw(String(portion));
  const dying = db.$with('dying', {}).as(sql`
    update uploads set dead = true where not dead and greatest(seen, pg_postmaster_start_time()) < clock_timestamp() - ${lease}`);
  const dead = db.$with('dead', {}).as(sql`
    select no from uploads where dead order by no limit 1 for update skip locked`);
  const uncut = db.$with('uncut', {}).as(sql`
    delete from chunks where no = any(array(select c.no from chunks c join dead on dead.no = c.batch
      where c.state = 'pending' and c.not_before is null limit ${most})) returning 1`);
  const emptied = db.$with('emptied', {}).as(sql`
    delete from inputs where batch = (select no from dead) and first = any(array(
      select i.first from inputs i join dead on dead.no = i.batch limit ${most})) returning 1`);
  const unskipped = db.$with('unskipped', {}).as(sql`
    delete from results where batch = (select no from dead) and index = any(array(
      select r.index from results r join dead on dead.no = r.batch limit ${most})) returning 1`);
  const gone = db.$with('gone', {}).as(sql`
    delete from uploads where no = (select no from dead)
      and not exists (select from inputs i where i.batch = uploads.no)
      and not exists (select from results r where r.batch = uploads.no)
      and not exists (select from chunks c where c.batch = uploads.no and c.state = 'pending' and c.not_before is null)`);
  const query = db
    .with(dying, dead, uncut, emptied, unskipped, gone)
    .select({ more: sql<boolean>`exists (select from uploads where dead)` })
    .from(sql`(select 1) one`)
    .prepare('clean_uploads');
  return async (request: { leaseMs: number }): Promise<boolean> => (await query.execute(request))[0]!.more;
}
