import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list } from '../bind.ts';
import { leaseInterval } from './shares.ts';

/** What a worker has and would have of the concurrency of a batch or a handler. */
export interface PermitsAsked {
  /** Of the limit. */
  name: string;
  /** Items that it would have in handlers at once. */
  wanted: number;
  /** Items that it has there now; until the answer comes it starts none that would make them more. */
  used: number;
}

/** How many items of it the worker may have in handlers at once; null: any number, it is not limited any more. */
export interface PermitsShared {
  name: string;
  count: number | null;
}

/**
 * Share permits: tells what a worker has and wants, and answers what it may have, by which the others go from then on.
 *
 * Repeatable: it sets what should be so. A worker that wants nothing and has nothing has no row.
 *
 * Those that want share evenly: who wants less than an even share gets it, the rest share what that leaves (the water level is the
 * greatest of (limit − what the smaller wishes take) ÷ those that are left). What does not divide goes to those that have most, so that
 * nothing moves about. What one has above its share is given back as its items end, and only then is it another's: the
 * counts never sum to more than the limit, and after it was lowered only what runs is more. A worker that was not seen for a lease has
 * nothing.
 *
 * One worker counts at a time: the row of the limit is locked. A statement sees what was there when it began, also after a wait for the
 * lock, so the row counts the times that it was shared; who finds that it was meanwhile gets no answer and asks again. Without it four
 * workers had three permits of three each.
 */
export function prepareSharePermits(db: Database) {
  const me = sql`${sql.placeholder('worker')}::uuid`;
  const asked = db.$with('asked', {}).as(sql`
    select * from unnest(${sql.placeholder('names')}::text[], ${sql.placeholder('wanted')}::int[], ${sql.placeholder('used')}::int[]) u(name, wanted, used)`);
  const seen = db.$with('seen', {}).as(sql`
    select name, shared from limits where name = any(${sql.placeholder('names')}::text[]) and concurrency is not null`);
  const locked = db.$with('locked', {}).as(sql`
    select name, concurrency, shared from limits where name = any(array(select name from seen)) and concurrency is not null order by name for update`);
  const held = db
    .$with('held', {})
    .as(sql`select l.name, l.concurrency from locked l join seen s using (name, shared)`);
  const others = db.$with('others', {}).as(sql`
    select p.name, p.worker, p.wanted, p.count from held join permits p using (name)
    where p.worker <> ${me} and p.seen > clock_timestamp() - ${leaseInterval()}`);
  const everyone = db.$with('everyone', {}).as(sql`
    select name, worker, greatest(wanted, count) as wanted, count from others
    union all
    select a.name, ${me}, greatest(a.wanted, a.used), coalesce((select p.count from permits p where p.name = a.name and p.worker = ${me}), 0)
    from asked a join held using (name)`);
  const levels = db.$with('levels', {}).as(sql`
    select name, greatest(0, max((concurrency - before) / left_over)) as level
    from (
      select e.name, h.concurrency::float8 as concurrency,
        coalesce(sum(e.wanted) over (partition by e.name order by e.wanted, e.worker rows between unbounded preceding and 1 preceding), 0) as before,
        count(*) over (partition by e.name) - row_number() over (partition by e.name order by e.wanted, e.worker) + 1 as left_over
      from everyone e join held h using (name)) w
    group by name`);
  const shares = db.$with('shares', {}).as(sql`
    select name, worker, least(wanted, floor(level)::bigint + case when rank <= spare then 1 else 0 end) as share
    from (
      select e.name, e.worker, e.wanted, l.level,
        row_number() over (partition by e.name order by (e.wanted > floor(l.level)) desc, e.count desc, e.worker) as rank,
        h.concurrency - sum(least(e.wanted, floor(l.level)::bigint)) over (partition by e.name) as spare
      from everyone e join levels l using (name) join held h using (name)) r`);
  const mine = db.$with('mine', {}).as(sql`
    select a.name, a.wanted, a.used,
      greatest(0, least(s.share, h.concurrency - coalesce((select sum(o.count) from others o where o.name = a.name), 0)))::int as count
    from asked a join held h using (name) join shares s on s.name = a.name and s.worker = ${me}`);
  const kept = db.$with('kept', {}).as(sql`
    insert into permits (name, worker, count, wanted, seen)
    select name, ${me}, greatest(count, used), wanted, clock_timestamp() from mine where wanted > 0 or used > 0
    on conflict (name, worker) do update set count = excluded.count, wanted = excluded.wanted, seen = excluded.seen`);
  const turned = db.$with('turned', {}).as(sql`
    update limits set shared = (shared + 1) % 1000000000 where name in (select name from mine)`);
  const gone = db.$with('gone', {}).as(sql`
    delete from permits where worker = ${me} and name = any(array(
      select a.name from asked a where (a.wanted = 0 and a.used = 0) or not exists (select from seen s where s.name = a.name)))`);
  const query = db
    .with(asked, seen, locked, held, others, everyone, levels, shares, mine, kept, turned, gone)
    .select({
      shared: sql<
        PermitsShared[]
      >`coalesce((select json_agg(json_build_object('name', name, 'count', count)) from mine), '[]')`,
      isLate: sql<boolean>`(select count(*) from seen) > (select count(*) from held)`,
    })
    .from(sql`(select 1) one`)
    .prepare('share_permits');

  return async ({
    worker,
    leaseMs,
    asked,
  }: {
    worker: string;
    leaseMs: number;
    asked: readonly PermitsAsked[];
  }): Promise<PermitsShared[]> => {
    const request = {
      worker,
      leaseMs,
      names: list(asked.map(({ name }) => name)),
      wanted: list(asked.map(({ wanted }) => wanted)),
      used: list(asked.map(({ used }) => used)),
    };
    for (;;) {
      const [row] = await query.execute(request);
      if (row!.isLate) continue;
      const counts = new Map(row!.shared.map(({ name, count }) => [name, count]));
      return asked.map(({ name }) => ({ name, count: counts.get(name) ?? null }));
    }
  };
}
