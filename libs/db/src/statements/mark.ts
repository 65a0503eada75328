import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list, names } from '../bind.ts';
import { batches, chunks } from '../schema.ts';
import { hasBegun, isReleased } from './brakes.ts';
import { priorityItems } from './fair.ts';
import { costOf, itemsMax, slotsMax } from './limits.ts';

export interface Marked {
  no: number;
  generation: number;
  partition: number;
  size: number;
  /** When its turn comes, in items that all have been served by then: lower ones go first in a worker too. */
  tag: number;
  /** Its batch has much less in flight than its share: the job goes before those that stand in the queue already. */
  ahead: boolean;
  batch: { no: number; id: string; handler: string };
  /** It stands for its line (mark-lines.ts). */
  keyed?: boolean;
}

/** Chunks that may be marked for workers which know the same handlers. */
export interface MarkRoom {
  handlers: readonly string[];
  /** The partition of each that there is room for, in order of preference. */
  slots: readonly number[];
  /** Of each beyond that: only for batches that have less in flight than their share. Default: none. */
  spare?: readonly number[];
  /** Of all together, about. */
  itemsMax: number;
}

/**
 * Mark: takes chunks that wait, binds each to a partition and makes it `queued`; the caller then adds the jobs.
 *
 * Repeatable: a second run takes others. What was marked and never added is found by `lost`.
 *
 * In the fair order (fair.ts): the first chunks of the batches that are next, as many batches of each owner as there is room at all, and
 * about twice as many chunks of them as there is room, so that few rows are read that are not taken. A chunk's tag is the pass of its batch,
 * plus what goes before it of the same batch over its weight; among owners the same again with all that goes before it of its owner. Then
 * the passes move by what was taken, and the virtual times to what is served now: the least pass of a batch that waits for a place, less what
 * it has in flight. A newcomer so starts at what is being served, not behind the window that is marked already; and where there is no
 * room left, it still gets its share (`spare`). What a limit holds back, or a last item that takes an hour, does not hold back the time: only
 * where nothing else is served it is what is served.
 *
 * A batch with `flight_max` items in flight gets no more, and neither it nor one whose limit opens in more than 2 s is among those that are next:
 * else a few of them would keep all others away.
 *
 * All batches of a limited handler together have no more in flight than it may start in 2 s, and what of that is free they get in an order of
 * their own: in that of their owners all are late beside batches that nothing limits, and weights would mean nothing.
 *
 * Only one mark runs at a time: the lock is tried inside the statement, so any producer may publish right after its
 * accept, and who comes second gets nothing. `limit greatest(…)` and `update … from pick` turned 4.5 ms into 350–750, hence the arrays.
 */
export function prepareMark(db: Database) {
  const slots = sql`${sql.placeholder('slots')}::smallint[]`;
  const spare = sql`${sql.placeholder('spare')}::smallint[]`;
  const places = sql`cardinality(${slots}) + cardinality(${spare})`;
  const before = sql.raw('rows between unbounded preceding and 1 preceding');
  const exclusive = db
    .$with('exclusive', { ok: sql<boolean>`ok` })
    .as(sql`select pg_try_advisory_xact_lock(hashtext('bullpen mark')) as ok`);
  const flight = db.$with('flight', {}).as(sql`
    select batch, sum(size) as items, max(size) as chunk from (
      select batch, size from chunks where state = 'queued' and line is null
      union all select batch, size from chunks where state = 'running' and line is null) f group by batch`);
  const filled = db.$with('filled', {}).as(sql`
    select b.no from flight f cross join lateral (select no, flight_max from batches where no = f.batch offset 0) b where b.flight_max <= f.items`);
  // Handlers that are limited, and what is in flight of all their batches.
  const limited = db.$with('limited', {}).as(sql`
    select l.*, coalesce(t.slots, 0) as slots, coalesce(t.items, 0) as items, coalesce(t.chunk, 0) as chunk,
      coalesce(t.slots >= l.slots_max or t.items >= l.items_max + 2 * t.chunk, false) as is_full
    from (
      select substr(name, 9) as handler, ${slotsMax(sql`limits`)} as slots_max, ${itemsMax(sql`limits`)} as items_max, virtual from limits
      where name >= 'handler:' and name < 'handler;' and (rate is not null or concurrency is not null)) l
    left join (
      select b.handler, sum(f.items * b.cost) as slots, sum(f.items) as items, max(f.chunk) as chunk
      from flight f cross join lateral (select handler, ${costOf(sql`options`)} as cost from batches where no = f.batch offset 0) b
      group by b.handler) t using (handler)`);
  const shut = db.$with('shut', {}).as(sql`
    select name from limits where greatest(next_at, paused_until) > clock_timestamp() + interval '2 seconds'`);
  const next = db.$with('next', {}).as(sql`
    select o.owner, greatest(o.pass, i.virtual) as owner_pass, o.weight as owner_weight, b.no as batch, greatest(b.pass, o.virtual) as pass,
      greatest(b.pass, o.virtual) - o.virtual as ahead, b.weight, b.flight_max, b.hold_at, coalesce(f.items, 0) as flying,
      sum(b.weight) over (partition by o.owner, l.handler is null) as of_owner,
      l.handler as limited, ${costOf(sql`b.options`)} as cost,
      greatest(l.virtual, coalesce(b.handler_pass, l.virtual + b.priority * ${sql.raw(String(priorityItems))}::float8)) as handler_pass
    from exclusive cross join installation i cross join owners o cross join lateral (
      select no, pass, handler_pass, weight, priority, handler, options, flight_max, hold_at from batches b
      where b.owner = o.owner and b.state = 'running' and not b.keyed and b.succeeded + b.failed < b.total and ${hasBegun}
        and b.handler = any(${sql.placeholder('handlers')}::text[])
        and no not in (select no from filled) and 'batch:' || no not in (select name from shut) and 'handler:' || handler not in (select name from shut)
        and handler not in (select handler from limited where is_full)
        and exists (select from chunks c where c.batch = b.no and c.state = 'pending' and c.not_before is null and c.line is null and ${isReleased})
      order by b.pass, b.no limit ${places}) b
    left join flight f on f.batch = b.no left join limited l on l.handler = b.handler
    where exclusive.ok`);
  const heads = db.$with('heads', {}).as(sql`
    select n.*, c.no, c.size, coalesce(sum(c.size) over (partition by n.batch order by c.first, c.no ${before}), 0) as prior
    from next n cross join lateral (
      select no, size, first from chunks c
      where c.batch = n.batch and c.state = 'pending' and c.not_before is null and c.line is null and (n.hold_at is null or c.first < n.hold_at)
      order by c.first limit greatest(4, 2.0 * (${places}) * n.weight / n.of_owner
        * n.owner_weight / (select sum(w) from (select distinct owner, owner_weight as w from next) each))) c`);
  const fitting = db.$with('fitting', {}).as(sql`
    select h.* from (
      select h.*, h.handler_pass + h.prior / h.weight as handler_place, coalesce(sum(h.size) over others, 0) as others, coalesce(sum(h.size * h.cost) over others, 0) as other_slots
      from heads h where h.flight_max is null or h.flying + h.prior < h.flight_max or h.flying + h.prior = 0
      window others as (partition by h.limited order by h.handler_pass + h.prior / h.weight, h.batch, h.no ${before})) h
    left join limited l on l.handler = h.limited
    where coalesce(l.slots + h.other_slots < l.slots_max, true) and coalesce(l.items + h.others < l.items_max + 2 * greatest(h.size, l.chunk), true)`);
  const tagged = db.$with('tagged', {}).as(sql`
    select h.*, h.pass + h.prior / h.weight as place, h.owner_pass + coalesce(
      sum(h.size) over (partition by h.owner order by h.pass + h.prior / h.weight, h.batch, h.no ${before}), 0) / h.owner_weight as turn
    from fitting h`);
  const ranked = db.$with('ranked', {}).as(sql`
    select t.*, row_number() over (order by t.turn, t.place, t.no) as rank,
      sum(t.size) over (order by t.turn, t.place, t.no) - t.size as before,
      (t.flying + t.prior) / t.weight < share.each as is_short, (t.flying + t.prior) / t.weight < share.each / 2 as is_late
    from tagged t cross join (
      select coalesce(sum(items), 0) / greatest(1, (select count(distinct x) from (select batch as x from next union all select batch from flight) y)) as each from flight) share`);
  const picked = db.$with('picked', {}).as(sql`
    select p.*, row_number() over (order by p.rank) as at from (
      select * from ranked where rank <= cardinality(${slots})
      union all
      (select * from ranked where rank > cardinality(${slots}) and is_short order by rank limit cardinality(${spare}))) p
    where p.before < ${sql.placeholder('itemsMax')}::bigint`);
  const nos = db.$with('nos', {}).as(sql`select array_agg(no order by at) as nos from picked`);
  const marked = db.$with('marked', {
    no: chunks.no,
    generation: chunks.generation,
    partition: chunks.partition,
    size: chunks.size,
    batch: chunks.batch,
  }).as(sql`
      update chunks c set state = 'queued', generation = generation + 1, queued_at = clock_timestamp(),
        partition = (${slots} || ${spare})[array_position((select nos from nos), c.no)]
      where c.no = any(array(select unnest(nos) from nos)) and c.state = 'pending'
      returning c.no, c.generation, c.partition, c.size, c.batch`);
  const locked = db.$with('locked', {}).as(sql`
    select no from batches where no = any(array(select distinct batch from marked)) order by no for no key update`);
  const passed = db.$with('passed', {}).as(sql`
    update batches b set pass = greatest(b.pass, x.pass) + x.items / b.weight::float8, started_at = coalesce(b.started_at, clock_timestamp()),
      handler_pass = case when x.limited is null then b.handler_pass else x.handler_pass + x.items / b.weight::float8 end
    from (select m.batch, sum(m.size) as items, min(n.pass) as pass, min(n.limited) as limited, min(n.handler_pass) as handler_pass from marked m join next n on n.batch = m.batch group by m.batch) x
    where b.no = x.batch and b.no = any(array(select no from locked)) returning b.no`);
  // After the batches: who limits a handler locks them in this order too (set-limits.ts).
  const turned = db.$with('turned', {}).as(sql`
    update limits l set virtual = greatest(l.virtual, p.place)
    from (select limited, max(handler_place) as place from picked where limited is not null group by limited) p
    where l.name = 'handler:' || p.limited and (select count(*) from passed) >= 0`);
  // What is served now, of each owner: of those that wait, and of those of which all that is there is in flight.
  const served = db.$with('served', {}).as(sql`
    select owner, coalesce(min(pass) filter (where is_free), min(pass)) as virtual, min(owner_pass) as owner_pass, sum(flying) as flying,
      bool_or(is_free) as is_free from (
      select n.owner, n.pass - n.flying / n.weight as pass, n.owner_pass, n.flying, n.flight_max is null as is_free from next n
      union all
      select b.owner, b.pass - f.items / b.weight, greatest(o.pass, i.virtual), f.items, false
      from installation i cross join (select batch, items from flight where batch not in (select batch from next)) f
      cross join lateral (select owner, pass, weight from batches where no = f.batch and state = 'running' offset 0) b
      join owners o on o.owner = b.owner
      union all
      select b.owner, b.pass, null, 0, false from batches b where b.state = 'running' and b.keyed and b.succeeded + b.failed < b.total
        and (exists (select from chunks c where c.batch = b.no and c.state = 'running')
          or exists (select from chunks c where c.batch = b.no and c.line is not null and c.state = 'pending' and c.not_before is null))) s group by owner`);
  const owned = db.$with('owned', {}).as(sql`
    update owners o set virtual = greatest(o.virtual, s.virtual), pass = greatest(o.pass, s.owner_pass) + coalesce(t.items, 0) / o.weight::float8
    from served s left join (select n.owner, sum(m.size) as items from marked m join next n on n.batch = m.batch group by n.owner) t using (owner)
    where o.owner = s.owner and (select ok from exclusive)`);
  const timed = db.$with('timed', {}).as(sql`
    update installation set virtual = greatest(virtual, (
      select coalesce(min(s.owner_pass - s.flying / o.weight) filter (where s.is_free), min(s.owner_pass - s.flying / o.weight))
      from served s join owners o using (owner)))
    where (select ok from exclusive) and exists (select from served)`);
  const query = db
    .with(
      exclusive,
      flight,
      filled,
      limited,
      shut,
      next,
      heads,
      fitting,
      tagged,
      ranked,
      picked,
      nos,
      marked,
      locked,
      passed,
      turned,
      served,
      owned,
      timed,
    )
    .select({
      no: marked.no,
      generation: marked.generation,
      partition: sql<number>`${marked.partition}`,
      size: marked.size,
      tag: sql<number>`(select i.virtual + p.ahead + p.prior / p.weight from picked p, installation i where p.no = ${marked.no})::float8`,
      ahead: sql<boolean>`(select p.is_late from picked p where p.no = ${marked.no})`,
      batch: { no: batches.no, id: batches.id, handler: batches.handler },
    })
    .from(marked)
    .innerJoin(batches, sql`${batches.no} = ${marked.batch}`)
    .prepare('mark');

  return ({ handlers, slots, spare = [], ...room }: MarkRoom): Promise<Marked[]> =>
    query.execute({ ...room, handlers: names(handlers), slots: list(slots), spare: list(spare) });
}
