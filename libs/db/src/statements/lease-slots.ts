import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list } from '../bind.ts';

/** What a worker asks of the limits of one batch and its handler. */
export interface SlotsAsked {
  /** Name of the limit of the batch; null: it has none. */
  batch: string | null;
  handler: string | null;
  /** Slots that one start takes, of each limit. */
  cost: number;
  /** Starts, at most. */
  starts: number;
  /** It cannot use a slot sooner than this. */
  leadMs: number;
  /** So much later than it should it has used earlier ones: all that come are put off by as much. */
  debtMs: number;
}

/** Starts at even distances. `starts` 0: the next slot is too far away; ask again after `waitMs`. */
export interface SlotsLeased {
  starts: number;
  /** The first, on the database's clock in ms. */
  firstAt: number;
  everyMs: number;
  /** They are all there at once, and good for so long; 0: each at its time. */
  looseMs: number;
  waitMs: number;
}

export interface SlotsAnswer {
  /** The database's clock in ms when the slots were leased. */
  now: number;
  /** One for each that was asked. */
  leased: SlotsLeased[];
}

/** A range of slots is at most this long, but holds one start at least. */
const rangeMs = 25;
/** The same where a batch and its handler have a limit each: slots of the looser one are used later than they stand in its books. */
const rangeOfBothMs = 12;
/**
 * Slots are this much farther apart than the limit says. A slot may be used up to 12 ms late, so that a second may hold what was
 * leased for 1.012 s (apps/worker/src/limits/starts.ts).
 */
const margin = 1.015;
/** No slot is leased farther ahead: a changed limit acts soon, so does a debt, and little is lost with a worker that dies. */
const horizonMs = 500;
/**
 * Of a limit that nobody waits for, closer together than this, slots are loose: so many of them as stand in this time are there at once,
 * and good for longer than a busy loop is late.
 */
const loose = { everyMs: 1, rangeMs: 5, goodMs: 200 } as const;
/** How far the slots of a batch may be behind those of its handler in the books: see below. */
const apartMs = 25;
/** After a start of the server nothing is leased for as long as slots may be out that a crash has forgotten. */
const recoveryMs = horizonMs + 200;
/** Slots farther apart than this are not far enough from such a forgotten one by then: their lease is not forgotten. */
const durableFromMs = recoveryMs - horizonMs;

const n = (value: number) => sql.raw(String(value));

/**
 * Lease slots: the next slots of these limits are this worker's, in ranges of evenly spaced times on the database's clock. What is
 * not used in time is lost: nobody is given the same slot twice.
 *
 * Repeatable: a second run leases other slots; those of the first are lost, as after a lost reply.
 *
 * `next_at` of a limit is the time of the next slot that nobody has; all workers together so have one sequence, in which slots
 * stand `margin` × the interval apart. It never runs more than `horizonMs` ahead. The commit waits for the disk only where slots
 * are far apart. What a crash of the server takes back else are ranges within `horizonMs` of it, and for so long after its start
 * nothing is leased.
 *
 * A start that takes slots of a batch and of its handler stands where both have one. In the books of the batch it stands at that
 * time; in those of the handler it takes the next free place, since a gap there would be lost for all other batches. The two times
 * are at most `apartMs` apart, or the caller is told to come again, and the range is short: so in any second at most 3.7 % of
 * the handler's slots can be used that stand in its books before it, of which the margin has 1.5.
 *
 * Far above the load a limit must cost little: 1 000 000/s in strict times took three quarters of the rate, since a busy loop comes too
 * late for a range that is over in 25 ms. While `next_at` is not ahead of the clock more was free than was asked for, and
 * slots are loose. What is out of these when the load comes up to the limit is the most that a second can hold above it: 0.5 % for each
 * worker.
 *
 * Where the clock was set back since the last lease, `next_at` goes back with it; else all would stand still for as long.
 *
 * Rows are locked by name; the clock is read after that.
 */
export function prepareLeaseSlots(db: Database) {
  const ms = (time: string) => sql.raw(`extract(epoch from ${time})::float8 * 1000`);
  const interval = (of: string) => sql.raw(`coalesce(a.cost * ${margin} * ${of}.per_ms / ${of}.rate, 0)`);
  const asked = db.$with('asked', {}).as(sql`
    select * from unnest(${sql.placeholder('batches')}::text[], ${sql.placeholder('handlers')}::text[], ${sql.placeholder('costs')}::int[],
      ${sql.placeholder('starts')}::int[], ${sql.placeholder('leads')}::float8[], ${sql.placeholder('debts')}::float8[])
      with ordinality u(batch, handler, cost, starts, lead, debt, id)`);
  const held = db.$with('held', {}).as(sql`
    select name, rate, per_ms, ${ms('next_at')} as booked, ${ms('paused_until')} as paused, ${ms('leased_at')} as leased from limits
    where name = any(${sql.placeholder('names')}::text[]) order by name for update`);
  const clock = db.$with('clock', { now: sql<number>`now`.as('now') }).as(sql`
    select now, case when started <= now then greatest(now, started + ${n(recoveryMs)}) else now end as open
    from (select ${ms('clock_timestamp()')} as now, ${ms('pg_postmaster_start_time()')} as started from (select count(*) from held) locked) x`);
  const known = db.$with('known', {}).as(sql`
    select name, rate, per_ms, greatest(booked - greatest(0, coalesce(leased - now, 0)), paused) as next from held cross join clock`);
  const sized = db.$with('sized', {}).as(sql`
    select a.*, every_b, every_h, every, b.next as next_b, h.next as next_h, b.name is not null and h.name is not null as paired,
      is_loose, now, open, case when every = 0 then a.starts else least(a.starts, greatest(1, floor(case when is_loose then ${n(loose.rangeMs)}
        when every_b > 0 and every_h > 0 then ${n(rangeOfBothMs)} else ${n(rangeMs)} end / every)))::int end as n
    from asked a cross join clock left join known b on b.name = a.batch left join known h on h.name = a.handler
    cross join lateral (select ${interval('b')} as every_b, ${interval('h')} as every_h) i
    cross join lateral (select greatest(every_b, every_h) as every) e
    cross join lateral (
      select every > 0 and every < ${n(loose.everyMs)} and open = now and coalesce(greatest(b.next, h.next), now) <= now + ${n(loose.rangeMs)} as is_loose) l`);
  const queued = (next: string, every: string, name: string) =>
    sql.raw(`case when ${name} is not null then greatest(${next}, open + lead) + coalesce(sum(n * ${every})
      over (partition by ${name} order by id rows between unbounded preceding and 1 preceding), 0) end`);
  const placed = db.$with('placed', {}).as(sql`
    select p.*, at,
      case when paired and at_b - at_h > ${n(apartMs)} then at_b - at_h - ${n(apartMs - 5)}
        when at - now > ${n(horizonMs)} then at - now - ${n(horizonMs / 2)} else 0 end as wait
    from (select s.*, open + lead as soonest, ${queued('next_b', 'every', 'batch')} as at_b, ${queued('next_h', 'every_h', 'handler')} as at_h
      from sized s) p
    cross join lateral (select greatest(at_b, at_h, soonest) as at) g`);
  const booked = db.$with('booked', {}).as(sql`
    update limits l set next_at = to_timestamp(x.next / 1000), leased_at = to_timestamp(clock.now / 1000)
    from clock, (
      select name, max(next) as next
      from (
        select batch as name, at + case when n > 0 then (n - 1) * every + every_b else 0 end + debt as next from placed where wait = 0 and every_b > 0
        union all
        select handler, coalesce(at_h, at) + n * every_h + debt from placed where wait = 0 and every_h > 0) each
      group by name) x
    where l.name = x.name and l.name = any(array(select name from held))`);
  const query = db
    .with(asked, held, clock, known, sized, placed, booked)
    .select({
      now: clock.now,
      leased: sql<SlotsLeased[]>`(
        select json_agg(json_build_object('starts', case when wait > 0 then 0 else n end, 'firstAt', case when is_loose then now else at end,
          'everyMs', case when is_loose then 0 else every end, 'looseMs', case when is_loose then ${n(loose.goodMs)} else 0 end, 'waitMs', wait) order by id)
        from placed)`,
      durable: sql`case when exists (select from placed where wait = 0 and n > 0 and every > ${n(durableFromMs)}) then set_config('synchronous_commit', 'on', true) end`,
    })
    .from(clock)
    .prepare('lease_slots');

  return async (asked: readonly SlotsAsked[]): Promise<SlotsAnswer> => {
    const namesOf = asked.flatMap(({ batch, handler }) => [batch, handler]).filter((name) => name !== null);
    const [row] = await query.execute({
      names: list([...new Set(namesOf)]),
      batches: list(asked.map(({ batch }) => batch ?? 'null')),
      handlers: list(asked.map(({ handler }) => handler ?? 'null')),
      costs: list(asked.map(({ cost }) => cost)),
      starts: list(asked.map(({ starts }) => starts)),
      leads: list(asked.map(({ leadMs }) => leadMs)),
      debts: list(asked.map(({ debtMs }) => debtMs)),
    });
    const { now, leased } = row!;
    return { now, leased };
  };
}
