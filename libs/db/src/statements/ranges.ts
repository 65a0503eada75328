import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { ranges } from '../schema.ts';

/**
 * Free ranges: those in which nothing lives, and never will: no batch and no upload has one of their numbers, nothing writes
 * under one (garbage that is cleared), and none can be drawn. A range whose last number was drawn is marked as passed.
 *
 * Repeatable: what is marked stays so, and a range that is free stays free.
 *
 * A number that was drawn by a statement which has not committed yet is nobody's: nextval holds a lock on its sequence until
 * then. The last range stays: the next one begins where it ends. One snapshot for all: an upload that becomes a batch is one of both in it.
 */
export function prepareFreeRanges(db: Database) {
  const passed = db.$with('passed', {}).as(sql`
    update ranges set passed_at = clock_timestamp() where passed_at is null and not own and upto <= (select last_value + 1 from batches_no)`);
  const within = (column: string) => sql`${sql.raw(column)} >= r.first and ${sql.raw(column)} < r.upto`;
  const drawing = sql`exists (
    select from pg_locks l join pg_stat_activity a using (pid)
    where l.relation = 'batches_no'::regclass and a.datname = current_database() and l.mode = 'RowExclusiveLock'
      and coalesce(a.xact_start <= r.passed_at, true))`;
  const query = db
    .with(passed)
    .select({ first: sql<number>`r.first`, emptied: sql<boolean>`r.emptied` })
    .from(sql`ranges r`)
    .where(
      sql`r.passed_at is not null
        and not exists (select from batches b where ${within('b.no')})
        and not exists (select from uploads u where ${within('u.no')})
        and not exists (select from garbage g where ${within('g.no')} and not g.cleared)
        and (r.own or (exists (select from ranges n where n.first = r.upto) and not ${drawing}))`,
    )
    .prepare('free_ranges');
  return (): Promise<{ first: number; emptied: boolean }[]> => query.execute();
}

/**
 * Free range: gives the space of a free range back. First its tables are emptied, with the next call they are dropped. Nobody
 * who reads or writes is waited for: `busy`, try again later.
 *
 * Repeatable: it looks how far it has come.
 */
export function prepareFreeRange(db: Database) {
  const query = db
    .select({ fate: sql<'emptied' | 'dropped' | 'busy'>`free_range(${ranges.first})` })
    .from(ranges)
    .where(sql`${ranges.first} = ${sql.placeholder('first')}::int`)
    .prepare('free_range');
  return async (first: number): Promise<'emptied' | 'dropped' | 'busy'> =>
    (await query.execute({ first }))[0]?.fate ?? 'busy';
}
