import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { batches } from '../schema.ts';
import { audited, thatBatch, type Who } from './audit.ts';
import { placeOf, priorityItems } from './fair.ts';
import { flightMax, limitOf } from './limits.ts';

/** What a handler is limited to, over all its batches; null: any number. */
export interface HandlerLimit {
  handler: string;
  rate: number | null;
  perMs: number | null;
  concurrency: number | null;
}

/** From then on a limit that was changed stands as if it had always been so: what was waited for far ahead is over. */
const soon = sql`case when limits.next_at is not null then least(limits.next_at, clock_timestamp() + interval '500 ms') end`;

/** The row as it should be. Only where the rate is another one (`isOther`) it ends a pause and what was waited for. */
const set = (isOther: SQL) => sql`
  on conflict (name) do update set rate = excluded.rate, per_ms = excluded.per_ms, concurrency = excluded.concurrency,
    next_at = case when ${isOther} then ${soon} else limits.next_at end,
    leased_at = case when not ${isOther} then limits.leased_at end,
    paused_until = case when excluded.rate is null or not ${isOther} then limits.paused_until end`;

/** What a limit leaves that is taken away during a pause: that is of what was called, not of the limit. For two statements, of which each row needs one. */
const isPaused = sql`coalesce(paused_until > now(), false)`;
const nothing = sql`update limits set rate = null, per_ms = null, concurrency = null, next_at = null, leased_at = null, virtual = 0`;

/** Items of a chunk of `batch` that waits; what is in a queue or a hand has come and will go. */
const chunkOf = (batch: SQL) => sql`coalesce((
  select max(size) from (
    select size from chunks c where c.batch = ${batch} and c.state = 'pending' and c.not_before is null and c.line is null order by c.first limit 4) few), 0)`;

/**
 * Change: another name, and other options of a batch that has not ended; an option that is null is taken away. False: it has ended, or
 * is one of single items, which go by the limits of their handler.
 *
 * A rate without a cost keeps the cost that items have. Another priority moves the batch by the difference of the offsets (fair.ts).
 *
 * Repeatable: it sets what should be so. Workers read the limit at least each second.
 */
export function prepareChange(db: Database) {
  const no = sql`${sql.placeholder('batch')}::int`;
  const open = db.$with('open', {}).as(sql`
    select no, handler, priority as before, now.options::json as options,
      b.options::jsonb -> 'rateLimit' is distinct from now.options -> 'rateLimit' as has_other_rate
    from batches b cross join lateral (select b.options::jsonb as old, ${sql.placeholder('options')}::text::jsonb as given) x
    cross join lateral (select jsonb_strip_nulls(old || given || case when jsonb_typeof(given -> 'rateLimit') = 'object' then jsonb_build_object(
      'rateLimit', jsonb_build_object('cost', coalesce(old -> 'rateLimit' -> 'cost', '1')) || (given -> 'rateLimit')) else '{}' end) as options) now
    where no = ${no} and kind = 'batch' and state in ('running', 'paused') for no key update of b`);
  const place = placeOf(sql`o.options`);
  const moved = (pass: SQL) =>
    sql`greatest(0, ${pass} + (${place.priority} - o.before) * ${sql.raw(String(priorityItems))}::float8)`;
  const said = db.$with('said', {}).as(sql`select l.* from open cross join lateral (${limitOf(sql`open.options`)}) l`);
  const changed = db.$with('changed', { no: batches.no }).as(sql`
    update batches b set options = o.options, name = case when ${sql.placeholder('renamed')}::boolean then ${sql.placeholder('name')}::text else b.name end,
      flight_max = (select ${flightMax(chunkOf(no))} from said l left join limits h on h.name = 'handler:' || o.handler),
      max_failures = (o.options ->> 'maxFailures')::int, max_failure_rate = (o.options ->> 'maxFailureRate')::float8,
      priority = ${place.priority}, weight = ${place.weight}, pass = ${moved(sql`b.pass`)}, handler_pass = case when b.handler_pass is not null then ${moved(sql`b.handler_pass`)} end
    from open o where b.no = o.no returning b.no`);
  const limited = db.$with('limited', {}).as(sql`
    insert into limits (name, rate, per_ms, concurrency)
    select 'batch:' || open.no, rate, per_ms, concurrency from open, said where rate is not null or concurrency is not null
    ${set(sql`(select has_other_rate from open)`)}`);
  const isTaken = sql`name in (select 'batch:' || open.no from open, said where rate is null and concurrency is null)`;
  const unlimited = db.$with('unlimited', {}).as(sql`delete from limits where ${isTaken} and not ${isPaused}`);
  const waits = db.$with('waits', {}).as(sql`${nothing} where ${isTaken} and ${isPaused}`);
  const query = db
    .with(open, said, changed, limited, unlimited, waits, audited(db, 'change', { from: thatBatch, hasDetail: true }))
    .select({ no: changed.no })
    .from(changed)
    .prepare('change');
  return async (request: {
    batch: number;
    /** Left out: as it was. */
    name?: string | null;
    /** Options by name. */
    options: Record<string, unknown>;
    who?: Who;
  }): Promise<boolean> => {
    const { batch, name, options, who = null } = request;
    const rows = await query.execute({
      batch,
      name: name ?? null,
      renamed: name !== undefined,
      options: JSON.stringify(options),
      who,
      detail: JSON.stringify({ ...(name !== undefined && { name }), options }),
    });
    return rows.length > 0;
  };
}

/**
 * Limit a handler: what all its batches together may do from now on.
 *
 * Repeatable: it sets what should be so. Its batches are locked in order, and before the limit, as mark does.
 */
export function prepareLimitHandler(db: Database) {
  const handler = sql`${sql.placeholder('handler')}::text`;
  const rate = sql`${sql.placeholder('rate')}::int`;
  const perMs = sql`${sql.placeholder('perMs')}::int`;
  const concurrency = sql`${sql.placeholder('concurrency')}::int`;
  const isLimited = sql`(${rate} is not null or ${concurrency} is not null)`;
  const open = db.$with('open', {}).as(sql`
    select no, options from batches where handler = ${handler} and state in ('running', 'paused') order by no for no key update`);
  const locked = sql`(select count(*) from open) >= 0`;
  const limited = db.$with('limited', {}).as(sql`
    insert into limits (name, rate, per_ms, concurrency) select 'handler:' || ${handler}, ${rate}, ${perMs}, ${concurrency} where ${isLimited} and ${locked}
    ${set(sql`(limits.rate, limits.per_ms) is distinct from (excluded.rate, excluded.per_ms)`)}`);
  const isTaken = sql`name = 'handler:' || ${handler} and not ${isLimited} and ${locked}`;
  const unlimited = db.$with('unlimited', {}).as(sql`delete from limits where ${isTaken} and not ${isPaused}`);
  const waits = db.$with('waits', {}).as(sql`${nothing} where ${isTaken} and ${isPaused}`);
  const one = db.$with('one', { one: sql<number>`one`.as('one') }).as(sql`select 1 as one`);
  // A statement does not see what it has just written. Places among batches of a limit are over with it.
  const fitted = db.$with('fitted', {}).as(sql`
    update batches b set handler_pass = case when ${isLimited} then b.handler_pass end, flight_max = (
      select ${flightMax(sql`h.size`)} from (${limitOf(sql`o.options`)}) l,
        (select ${rate} as rate, ${perMs} as per_ms, ${concurrency} as concurrency, ${chunkOf(sql`o.no`)} as size) h)
    from open o where b.no = o.no`);
  const asked = audited(db, 'limit', { from: sql`select ${handler} as target`, changed: 'one', hasDetail: true });
  const query = db
    .with(open, limited, unlimited, waits, fitted, one, asked)
    .select({ one: one.one })
    .from(one)
    .prepare('limit_handler');
  return async (limit: HandlerLimit, who: Who = null): Promise<void> => {
    const { handler: _, ...detail } = limit;
    await query.execute({ ...limit, who, detail: JSON.stringify(detail) });
  };
}

/** Handler limits: those that were set. A read. */
export function prepareHandlerLimits(db: Database) {
  const query = db
    .select({
      handler: sql<string>`substr(name, 9)`,
      rate: sql<number | null>`rate`,
      perMs: sql<number | null>`per_ms`,
      concurrency: sql<number | null>`concurrency`,
    })
    .from(sql`limits`)
    .where(sql`name >= 'handler:' and name < 'handler;' and (rate is not null or concurrency is not null)`)
    .prepare('handler_limits');
  return (): Promise<HandlerLimit[]> => query.execute();
}
