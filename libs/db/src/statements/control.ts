import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { batches } from '../schema.ts';
import { audited, thatBatch, type Who } from './audit.ts';
import { startPass } from './fair.ts';
import { untold } from './tell.ts';

/**
 * Pause, resume, cancel: each changes one row; chunks follow by claim and heartbeat. All are repeatable: the state they
 * leave is the state they ask for. Each answers whether it changed anything, and leaves an audit row.
 */
function prepareMove(db: Database, action: 'pause' | 'resume' | 'cancel', set: SQL, from: SQL) {
  const changed = db.$with('changed', { no: batches.no }).as(sql`
    update batches set ${set} where no = ${sql.placeholder('batch')}::int and ${from} returning no`);
  const query = db
    .with(changed, audited(db, action, { from: thatBatch }))
    .select({ no: changed.no })
    .from(changed)
    .prepare(action);
  return async (batch: number, who: Who = null): Promise<boolean> => (await query.execute({ batch, who })).length > 0;
}

export const preparePause = (db: Database) =>
  prepareMove(db, 'pause', sql`state = 'paused', reason = 'user'`, sql`state = 'running'`);

export const prepareCancel = (db: Database) =>
  prepareMove(
    db,
    'cancel',
    sql`state = 'cancelled', reason = null, finished_at = clock_timestamp()`,
    sql`state in ('running', 'paused')`,
  );

/** A batch that is sealed now has ended where nothing of it is open. */
export const endsWhenSealed = sql`state = 'running' and succeeded + failed = total`;

/** A batch whose last items were settled while it was paused is completed here. It resumes at what is served now (fair.ts), and a canary is released. */
export function prepareResume(db: Database) {
  const ends = sql`sealed and succeeded + failed = total`;
  const set = sql`state = case when ${ends} then 'completed' else 'running' end, reason = null,
    finished_at = case when ${ends} then clock_timestamp() end,
    hold_at = case when reason = 'canary' or succeeded + failed >= hold_at then null else hold_at end, pass = greatest(pass, ${startPass(sql`batches.owner`, sql`priority`)})`;
  return prepareMove(db, 'resume', set, sql`state = 'paused'`);
}

/**
 * Close: an open batch takes no more items, and is completed if nothing of it is open. False: there is no such batch.
 *
 * Repeatable: it sets what should be so.
 */
export function prepareClose(db: Database) {
  const closed = db.$with('closed', { no: batches.no }).as(sql`
    update batches set sealed = true, state = case when ${endsWhenSealed} then 'completed' else state end,
      finished_at = case when ${endsWhenSealed} then clock_timestamp() else finished_at end
    where id = ${sql.placeholder('id')}::uuid and not sealed and kind = 'batch'
    returning no, set_config('synchronous_commit', 'on', true)`);
  const query = db.with(closed).select({ no: closed.no }).from(closed).prepare('close');
  return async (id: string): Promise<void> => void (await query.execute({ id }));
}

/**
 * Retry: the failed results go, of one cause where it names a fingerprint, and new chunks point to their inputs.
 *
 * Repeatable: a second run finds no failed result. Answers how many items are tried again.
 *
 * Items of one inputs row share a chunk, at most 1 000, so that each chunk has one `src`. The number stands there as a parameter
 * too, so that the plan has one table of results instead of all.
 *
 * Those of a keyed batch go back into their lines, behind all that is there: `base` is raised by as many places as there are items,
 * and what is appended later comes after them. Which line it is says any chunk of the same inputs.
 *
 * Its webhook is due anew, and what a try of the former completion comes to is not written any more (tell.ts).
 */
export function prepareRetry(db: Database) {
  const batch = sql`${sql.placeholder('batch')}::int`;
  const open = db.$with('open', {}).as(sql`
    select no, keyed, base + total as behind from batches where no = ${batch} and state in ('running', 'paused', 'completed') for update`);
  const cause = sql`${sql.placeholder('fingerprint')}::text`;
  const gone = db.$with('gone', {}).as(sql`
    delete from results r using open where r.batch = ${batch} and r.batch = open.no and r.status = 2
      and (${cause} is null or r.fingerprint = ${cause}) returning r.index, r.src`);
  const lines = db.$with('lines', {}).as(sql`
    select distinct src, line from (
      select src, line from chunks where batch = ${batch} and state = 'done' and line is not null
      union all select src, line from chunks where batch = ${batch} and line is not null and state <> 'done') c
    where (select keyed from open)`);
  const again = db.$with('again', {}).as(sql`
    insert into chunks (batch, first, size, src, picks, line, place)
    select ${batch}, min(index), count(*), src, array_agg(index order by index), line, case when line is not null then behind + min(index) end
    from (select index, src, (row_number() over (partition by src order by index) - 1) / 1000 as k from gone) n
      join open on true left join lines using (src)
    group by src, k, line, behind`);
  const less = db.$with('less', {}).as(sql`
    insert into chunks (batch, first, size, state) select ${batch}, 0, -count(*), 'done' from gone having count(*) > 0`);
  const counted = db.$with('counted', { n: sql<number>`n`.as('n') }).as(sql`
    update batches set failed = failed - x.n, base = case when keyed and x.n > 0 then base + total else base end,
      pass = case when state = 'completed' and x.n > 0 then greatest(pass, ${startPass(sql`batches.owner`, sql`priority`)}) else pass end,
      handler_pass = case when state = 'completed' then null else handler_pass end, finished_at = case when x.n > 0 then null else finished_at end,
      state = case when state = 'completed' and x.n > 0 then 'running' else state end,
      tell_at = case when x.n > 0 then (select clock_timestamp() from webhooks w where w.batch = batches.no) else tell_at end
    from (select count(*)::int as n from gone) x where no = ${batch} and exists (select from open) returning x.n`);
  // After the lock on the batch: who takes what is due locks in that order.
  const silenced = db.$with('silenced', {}).as(untold('gone'));
  const query = db
    .with(
      open,
      gone,
      lines,
      again,
      less,
      counted,
      silenced,
      audited(db, 'retry', { from: thatBatch, changed: 'gone', hasDetail: true }),
    )
    .select({ n: counted.n })
    .from(counted)
    .prepare('retry');
  return async (
    no: number,
    { fingerprint = null, who = null }: { fingerprint?: string | null; who?: Who } = {},
  ): Promise<number> => {
    const detail = fingerprint === null ? null : JSON.stringify({ fingerprint });
    return (await query.execute({ batch: no, fingerprint, who, detail }))[0]?.n ?? 0;
  };
}
