import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/** Open batches that one look answers. */
export const streamsMax = 20;

const age = sql`make_interval(days => ${sql.placeholder('days')}::int)`;
const runs = sql`kind = 'batch' and not sealed and state in ('running', 'paused')`;

/** Streams: open batches that are old enough to have something to trim, in the order of their numbers. A read. */
export function prepareStreams(db: Database) {
  const query = db
    .select({ no: sql<number>`no` })
    .from(
      sql`(select no from batches where ${runs} and no > ${sql.placeholder('after')}::int and created_at < statement_timestamp() - ${age}
        order by no limit ${sql.raw(String(streamsMax))}) s`,
    )
    .prepare('streams');
  return async (request: { days: number; after: number }): Promise<number[]> =>
    (await query.execute(request)).map(({ no }) => no);
}

export interface Trim {
  batch: number;
  /** Inputs that begin before are gone, as a trim before has told: what it deleted is not walked through again. 0: nobody knows. */
  from: number;
  days: number;
}

export interface Trimmed {
  /** Rows that went; 0: there are none, or another producer is at it. */
  rows: number;
  /** `from` of the next one. */
  from: number;
}

/** What goes at once: rows of inputs, and with the last of them the items, some 5 000, and the bytes reach this; done chunks. */
const rowsMax = sql.raw('500');
const itemsMax = sql.raw('5000');
const bytesMax = sql.raw('33554432');
const chunksMax = sql.raw('5000');
/** Items of one row that stands for done chunks: `size` is an int, and what may come to it at once fits above. */
const sumMax = sql.raw('1000000000');

/**
 * Trim: of an open batch the oldest rows of inputs whose items all became final so many days ago, with the results of these items; and
 * the done chunks of inputs that are gone, in whose place one comes with their sum. An item has both its input and its
 * result, or neither.
 *
 * Repeatable: a second run finds others. Sums over chunks hold at every moment, since the sum stands for what this statement itself has
 * deleted; of two at once one gets the lock, and if not, each sums its own.
 *
 * In the order of their first index, and none before the one that comes first: below `upto` all is gone, above nothing. So an item that
 * is late holds up what was appended after it, and takes it along when it is old. Nothing is read of what comes after the
 * first row that stays, but the least index that is open: one probe for each line and state, and a walk through what is queued or
 * waits for its backoff.
 *
 * Beside a retry: it takes failed results, and what it takes has to keep its inputs. So the failed results are locked first, and
 * where one of them is not to be had nothing goes. What a flush settles meanwhile is open here, and what is appended comes after.
 * When an acknowledged item became final is not known: its chunk was claimed before. That is asked by `max`, since the planner hashes
 * what stands in an `exists`: all done chunks of the batch.
 */
export function prepareTrim(db: Database) {
  const batch = sql`${sql.placeholder('batch')}::int`;
  const from = sql`${sql.placeholder('from')}::bigint`;
  const old = sql`statement_timestamp() - ${age}`;
  const held = db.$with('held', {}).as(sql`
    select total, base from batches where no = ${batch} and ${runs} and pg_try_advisory_xact_lock(hashtext('bullpen trim'), no)`);
  const inLine = sql`c.batch = ${batch} and c.line = p.no and c.line is not null and c.state <> 'done'`;
  // Places from `base` on are indexes too (control.ts); what a retry found open stands before.
  const open = db.$with('open', {}).as(sql`
    select min(first) as first from (
      (select first from chunks where batch = ${batch} and state = 'pending' and not_before is null and line is null order by first limit 1)
      union all select min(first) from chunks where batch = ${batch} and state = 'pending' and not_before is not null
      union all select min(first) from chunks where batch = ${batch} and state = 'queued'
      union all select min(first) from chunks where batch = ${batch} and state = 'running'
      union all select c.first from held, partitions p cross join lateral (
        select first from chunks c where ${inLine} and c.place >= held.base order by c.place limit 1) c
      union all select c.first from held, partitions p cross join lateral (
        select min(first) as first from chunks c where ${inLine} and c.place < held.base) c) o`);
  const given = db.$with('given', {}).as(sql`
    select first, indexes, bytes, row_number() over (order by first) as n, total,
      coalesce(indexes[cardinality(indexes)], lead(first) over (order by first) - 1, total - 1) as last
    from held cross join lateral (
      select first, indexes, octet_length(items) as bytes from inputs where batch = ${batch} and first >= ${from} order by first limit ${rowsMax} + 1) i`);
  const front = db.$with('front', {}).as(sql`
    select first, last, coalesce(indexes, array(select generate_series(first, last))) as items from (
      select first, last, indexes, n,
        sum(coalesce(cardinality(indexes), last - first + 1)) over (order by first rows between unbounded preceding and 1 preceding) as items_before,
        sum(bytes) over (order by first rows between unbounded preceding and 1 preceding) as bytes_before
      from given) g
    where n <= ${rowsMax} and coalesce(items_before, 0) < ${itemsMax} and coalesce(bytes_before, 0) < ${bytesMax} order by first`);
  const kept = db.$with('kept', {}).as(sql`
    select first from (select * from front order by first offset 0) s
    where last >= (select first from open)
      or exists (select from results where batch = ${batch} and index = any(s.items) and finished_at >= ${old})
      or (select max(claimed_at) from chunks where batch = ${batch} and src = s.first and state = 'done') >= ${old}
    limit 1`);
  const fit = db.$with('fit', {}).as(sql`
    select first, items from front where first < coalesce((select first from kept), ${sql.raw(String(Number.MAX_SAFE_INTEGER))})`);
  const failed = sql`from results where batch = ${batch} and status = 2 and index = any(array(select unnest(items) from fit))`;
  const locked = db.$with('locked', {}).as(sql`select index ${failed} order by index for update`);
  const going = db.$with('going', {}).as(sql`
    select first, items from fit where (select count(*) from locked) = (select count(*) ${failed})`);
  const unmade = db.$with('unmade', {}).as(sql`
    delete from results where batch = ${batch} and index = any(array(select unnest(items) from going)) returning 1`);
  const ungiven = db.$with('ungiven', {}).as(sql`
    delete from inputs where batch = ${batch} and first = any(array(select first from going)) returning 1`);
  const upto = db.$with('upto', {}).as(sql`
    select coalesce((select min(first) from given where first > coalesce((select max(first) from going), -1)), total) as first from held`);
  const spent = db.$with('spent', {}).as(sql`
    (select no from chunks where batch = ${batch} and state = 'done' and src < (select first from upto) and size < ${sumMax} order by src limit ${chunksMax})
    union all (select c.no from held cross join lateral (select no from chunks where batch = ${batch} and state = 'done' and src is null limit ${chunksMax}) c)`);
  const merged = db.$with('merged', {}).as(sql`
    delete from chunks where no = any(array(select no from spent order by no)) and ((select count(*) from spent) > 1 or exists (select from going))
    returning size`);
  const summed = db.$with('summed', {}).as(sql`
    insert into chunks (batch, first, size, src, state) select ${batch}, 0, coalesce(sum(size), 0), -1, 'done' from merged
    having count(*) > 0 or exists (select from going)`);
  const query = db
    .with(held, open, given, front, kept, fit, locked, going, unmade, ungiven, upto, spent, merged, summed)
    .select({
      rows: sql<number>`((select count(*) from unmade) + (select count(*) from ungiven) + (select count(*) from merged))::int`,
      from: sql<number>`coalesce((select first from upto), ${from})::float8`,
    })
    .from(sql`(select 1) one`)
    .prepare('trim');
  return async (request: Trim): Promise<Trimmed> => (await query.execute({ ...request }))[0]!;
}
