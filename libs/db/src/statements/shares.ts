import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/**
 * Shares: which partition should be whose, as common table expressions for `own` and `partitions`. They are decided
 * here alone, on the database's clock, so that all workers agree without talking.
 *
 * - `live`: workers that take work and were seen within a lease; whoever asks (`me`) counts as seen.
 * - `pinned`: live workers whose pins count. Pins that overlap those of a worker that started earlier do not: the second
 *   of two runs unpinned, and has the pins when the first is gone.
 * - `sharers`: live workers among whom the partitions without a pin are shared: those without pins that count, or all
 *   where there are none.
 * - `plan`: of each partition the worker it is pinned to. It is `reserved`, so that nobody takes it, while the worker that
 *   has it among its pins is away for longer than a lease, but not for three.
 */
export function planShares(db: Database, me: SQL) {
  const lease = leaseInterval();
  const live = db.$with('live', {}).as(sql`
    select id, name, started_at, pins from workers
    where not draining and (seen > clock_timestamp() - ${lease} or id = ${me})`);
  const pinned = db.$with('pinned', {}).as(sql`
    select id, pins from live l
    where pins is not null and not exists (
      select from live e where e.pins && l.pins and (e.started_at, e.id) < (l.started_at, l.id))`);
  const sharers = db.$with('sharers', {}).as(sql`
    select id, row_number() over (order by started_at, id) - 1 as rank, count(*) over () as n from live
    where id not in (select id from pinned) or not exists (select from live where id not in (select id from pinned))`);
  const away = db.$with('away', {}).as(sql`
    select w.pins from workers w
    where not w.draining and w.pins is not null and w.seen > clock_timestamp() - 3 * ${lease}
      and not exists (select from live l where l.id = w.id)`);
  const plan = db.$with('plan', {}).as(sql`
    select p.no, x.id as pinned_to, x.id is null
      and exists (select from away where p.no = any(away.pins))
      and not exists (select from live l where l.id = p.owner and p.expires_at > clock_timestamp()) as reserved
    from partitions p left join pinned x on p.no = any(x.pins)`);
  return [live, pinned, sharers, away, plan] as const;
}

export const leaseInterval = (): SQL => sql`make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)`;
