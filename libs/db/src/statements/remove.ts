import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { batches } from '../schema.ts';
import { audited, type Who } from './audit.ts';

/** Batches that one round of the retention takes at most. */
export const expiredMax = 100;
/** Keys that go with their batches at once; the rest goes with the sweep. */
const keysMax = sql.raw('1000');

/** It has ended, and nothing sets it running but a retry, which takes its row. */
const hasEnded = sql`state in ('completed', 'cancelled') and (kind = 'batch' or sealed)`;

/**
 * Remove: a batch that has ended is nothing to anybody from now on, and its number is garbage. False: it has not ended, or
 * there is none.
 *
 * Repeatable: a second run finds none.
 */
export function prepareRemove(db: Database) {
  const asked = audited(db, 'delete', { from: sql`select id::text as target from gone`, changed: 'gone' });
  const query = prepareBury(db, 'remove', sql`id = ${sql.placeholder('id')}::uuid`, sql`clock_timestamp()`, [asked]);
  return async (id: string, who: Who = null): Promise<boolean> => (await query.execute({ id, who })).length > 0;
}

/**
 * Expire: the same for batches that ended so many days ago, at most a hundred. Their rows wait for a day: by then most ranges
 * have nothing else in them, and go as a whole. Answers how many.
 *
 * Repeatable: a second run finds others.
 */
export function prepareExpire(db: Database) {
  const age = sql`make_interval(days => ${sql.placeholder('days')}::int)`;
  const old = sql`no = any(array(
    select no from batches where finished_at < statement_timestamp() - ${age} and ${hasEnded} order by finished_at limit ${sql.raw(String(expiredMax))}))`;
  const query = prepareBury(db, 'expire', old, sql`clock_timestamp() + interval '1 day'`);
  return async (days: number): Promise<number> => (await query.execute({ days })).length;
}

/**
 * The row of a batch becomes one of garbage. With it go the chunks that are in a queue or in a worker's hands, as they may be
 * after a cancel, its keys, its limit, and its webhook. They are locked before the batch, as by flush and mark.
 */
function prepareBury(db: Database, name: string, which: SQL, rowsAt: SQL, more: ReturnType<typeof audited>[] = []) {
  const doomed = db.$with('doomed', {}).as(sql`select no from batches where ${which} and ${hasEnded}`);
  const held = db.$with('held', {}).as(sql`
    select no from chunks where no = any(array(
      select c.no from doomed d join chunks c on c.batch = d.no and c.state = 'running'
      union all select c.no from doomed d join chunks c on c.batch = d.no and c.state = 'queued')) order by no for update`);
  const gone = db.$with('gone', { no: batches.no }).as(sql`
    delete from batches where no in (select no from doomed) and ${hasEnded} and (select count(*) from held) >= 0 returning no, id`);
  const stopped = db.$with('stopped', {}).as(sql`
    delete from chunks where no in (select no from held) and batch in (select no from gone)`);
  const unkeyed = db.$with('unkeyed', {}).as(sql`
    delete from idempotency where ctid = any(array(select i.ctid from idempotency i join gone on gone.id = i.batch limit ${keysMax}))`);
  const unlimited = db
    .$with('unlimited', {})
    .as(sql`delete from limits where name in (select 'batch:' || no from gone)`);
  const hushed = db.$with('hushed', {}).as(sql`delete from webhooks where batch in (select no from gone)`);
  const buried = db
    .$with('buried', {})
    .as(sql`insert into garbage (no, id, rows_at) select no, id, ${rowsAt} from gone`);
  return db
    .with(doomed, held, gone, stopped, unkeyed, unlimited, hushed, buried, ...more)
    .select({ no: gone.no, durable: sql`set_config('synchronous_commit', 'on', true)` })
    .from(gone)
    .prepare(name);
}
