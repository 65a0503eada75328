import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/** Rows that one sweep deletes at most of each table; a row of inputs may have 1 MiB. */
const portion = sql.raw('5000');
const inputsPortion = sql.raw('100');

/** A number of garbage that has something to be swept; `rows`: its results and inputs too. */
export interface Leftover {
  no: number;
  rows: boolean;
}

/**
 * Leftovers: numbers of garbage whose rows are to go, at most 20. A read.
 *
 * Results and inputs of a number in a range of its own are never deleted as rows: their tables are emptied.
 */
export function prepareLeftovers(db: Database) {
  const due = sql`(g.rows_at < clock_timestamp() and not exists (select from ranges r where r.first = g.no and r.own))`;
  const query = db
    .select({ no: sql<number>`no`, rows: sql<boolean>`rows` })
    .from(sql`(select g.no, ${due} as rows from garbage g where not g.cleared or ${due} order by g.no limit 20) l`)
    .prepare('leftovers');
  return (): Promise<Leftover[]> => query.execute();
}

/**
 * Sweep: a portion of the rows of one number, and with the last of them the number. Answers how many; 0: nothing is left, or
 * another producer is at it.
 *
 * Repeatable: it deletes what should not be there.
 *
 * The number is a parameter, so that the plan has its own tables of results and inputs and no others. `cleared` is said
 * by a sweep that finds nothing: whoever wrote under this number held a chunk of it, which a sweep before had waited for
 * and deleted, and what was written meanwhile is seen by this one.
 */
export function prepareSweep(db: Database) {
  const no = sql`${sql.placeholder('no')}::int`;
  const rows = sql`${sql.placeholder('rows')}::boolean`;
  const mine = sql`exists (select from held)`;
  const held = db
    .$with('held', {})
    .as(sql`select no, id, cleared from garbage where no = ${no} for update skip locked`);
  const uncut = db.$with('uncut', {}).as(sql`
    delete from chunks where ${mine} and no = any(array(
      (select no from chunks where batch = ${no} and state = 'done' limit ${portion})
      union all (select no from chunks where batch = ${no} and state = 'pending' and not_before is null and line is null limit ${portion})
      union all (select no from chunks where batch = ${no} and line is not null and state <> 'done' limit ${portion})
      union all (select no from chunks where batch = ${no} and state = 'pending' and not_before is not null limit ${portion})
      union all (select no from chunks where batch = ${no} and state = 'queued')
      union all (select no from chunks where batch = ${no} and state = 'running'))) returning 1`);
  const unfolded = db.$with('unfolded', {}).as(sql`
    delete from partials where ${mine} and no = any(array(select no from partials where batch = ${no} limit ${portion})) returning 1`);
  const unsummed = db.$with('unsummed', {}).as(sql`delete from summaries where ${mine} and batch = ${no} returning 1`);
  const unkeyed = db.$with('unkeyed', {}).as(sql`
    delete from idempotency where ctid = any(array(
      select ctid from idempotency where batch = (select id from held) limit ${portion})) returning 1`);
  const ungiven = db.$with('ungiven', {}).as(sql`
    delete from inputs where ${mine} and ${rows} and batch = ${no} and first = any(array(
      select first from inputs where batch = ${no} limit ${inputsPortion})) returning 1`);
  const unmade = db.$with('unmade', {}).as(sql`
    delete from results where ${mine} and ${rows} and batch = ${no} and index = any(array(
      select index from results where batch = ${no} limit ${portion})) returning 1`);
  const swept = db.$with('swept', { small: sql<number>`small`.as('small'), large: sql<number>`large`.as('large') })
    .as(sql`
    select (select count(*) from uncut) + (select count(*) from unfolded) + (select count(*) from unsummed) + (select count(*) from unkeyed) as small,
      (select count(*) from ungiven) + (select count(*) from unmade) as large`);
  const cleared = db.$with('cleared', {}).as(sql`
    update garbage set cleared = true where no in (select no from held where not cleared) and (select small = 0 from swept)`);
  const gone = db.$with('gone', {}).as(sql`
    delete from garbage where no in (select no from held where cleared) and ${rows} and (select small + large = 0 from swept)`);
  const query = db
    .with(held, uncut, unfolded, unsummed, unkeyed, ungiven, unmade, swept, cleared, gone)
    .select({ rows: sql<number>`(${swept.small} + ${swept.large})::int` })
    .from(swept)
    .prepare('sweep');
  return async (leftover: Leftover): Promise<number> => (await query.execute({ ...leftover }))[0]!.rows;
}
