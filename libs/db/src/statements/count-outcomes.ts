import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { batches } from '../schema.ts';
import { brakes } from './brakes.ts';

/**
 * The end of every statement that makes items final: the counts of their batches, and completion. `settled` names the
 * CTE of the settled chunks (batch, succeeded, failed), `written` those that have to be done before.
 *
 * The counters come last: last they cost nothing, first they make two workers slower than one (512 000 instead of
 * 752 000 rows/s). Either `written` says so, by `count(written) >= 0`; for that each row that is written is answered and
 * kept, 1.5 µs a row. Or `counted` is read by nobody and stands before the inserts in the list: what nobody reads runs after all
 * else, the last in the list first. PostgreSQL does not promise that order, and only speed rests on it.
 *
 * Batches are locked in order, for a flush of several meets other flushes and mark. The lock makes completion exact;
 * `not exists (unfinished chunk)` missed it in 296 of 300.
 *
 * The `pass` of a keyed batch moves here, by what was done; that of others by what was marked (mark.ts), so here it goes back by what was not
 * started (`back`, a CTE with batch, size and is_unstarted): it is marked again, and of a chunk that goes through in a hundred slices each
 * would count as all that was left.
 *
 * The same `case` pauses it on too many failures and at the end of its canary (brakes.ts).
 *
 * The commit waits for the disk only where it completes a batch: the log is in order, so that one such commit makes all
 * earlier ones durable.
 */
export function countOutcomes(
  db: Database,
  settled: string,
  { written = [], back }: { written?: readonly string[]; back?: string } = {},
) {
  const from = sql.raw(settled);
  const after = sql.raw(written.map((each) => ` and (select count(*) from ${each}) >= 0`).join(''));
  const locked = db.$with('locked', {}).as(sql`
    select no from batches where no = any(array(select distinct batch from ${from}))${after}
    order by no for no key update`);
  const unstarted =
    back === undefined
      ? sql.raw('0')
      : sql.raw(`coalesce((select sum(r.size) from ${back} r where r.batch = b.no and r.is_unstarted), 0)`);
  const { fails, holds } = brakes();
  const ends = sql`b.state = 'running' and b.sealed and b.succeeded + s.succeeded + b.failed + s.failed = b.total`;
  const counted = db.$with('counted', { no: batches.no, durable: sql<'on' | null>`durable`.as('durable') }).as(sql`
    update batches b set succeeded = b.succeeded + s.succeeded, failed = b.failed + s.failed,
      pass = case when b.keyed then greatest(b.pass, (select o.virtual from owners o where o.owner = b.owner)) + (s.succeeded + s.failed) / b.weight::float8
        else b.pass - ${unstarted} / b.weight::float8 end,
      handler_pass = b.handler_pass - ${unstarted} / b.weight::float8,
      state = case when ${ends} then 'completed' when ${fails} or ${holds} then 'paused' else b.state end,
      reason = case when ${ends} then b.reason when ${fails} then 'max-failures' when ${holds} then 'canary' else b.reason end,
      finished_at = case when ${ends} then clock_timestamp() else b.finished_at end
    from (select batch, sum(succeeded) as succeeded, sum(failed) as failed from ${from} group by batch) s
    where b.no = s.batch and b.no = any(array(select no from locked))
    returning b.no, case when b.state = 'completed' then set_config('synchronous_commit', 'on', true) end as durable`);
  return { locked, counted };
}
