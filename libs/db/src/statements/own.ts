import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list } from '../bind.ts';

export interface Owned {
  /** Partitions that this worker owns now; epoch counts the owners a partition has had. */
  mine: { no: number; epoch: number }[];
  /** How many it should own. More than that: drain some and name them in `releasing`. */
  share: number;
}

/**
 * Own, each second: renews the leases of a worker's partitions, gives back those it has drained, and takes free or
 * expired ones up to its fair share.
 *
 * Repeatable: it sets what should be so; a lost reply is answered by the next run.
 *
 * The share is P over the live workers, one more for the first P mod n of them in the order of their start, so that all
 * workers agree without talking. Times are the database's.
 */
export function prepareOwn(db: Database) {
  const worker = sql`${sql.placeholder('worker')}::uuid`;
  const lease = sql`make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)`;
  const releasing = sql`${sql.placeholder('releasing')}::smallint[]`;
  const live = db.$with('live', {}).as(sql`
    select id, row_number() over (order by started_at, id) - 1 as rank, count(*) over () as n
    from workers where not draining and (seen > clock_timestamp() - ${lease} or id = ${worker})`);
  const share = db.$with('share', { share: sql<number>`share` }).as(sql`
    select (p.n / live.n + case when live.rank < p.n % live.n then 1 else 0 end)::int as share
    from live cross join (select count(*) as n from partitions) p where live.id = ${worker}`);
  const freed = db.$with('freed', {}).as(sql`
    update partitions set owner = null, expires_at = null where owner = ${worker} and no = any(${releasing})`);
  const kept = db.$with('kept', {}).as(sql`
    update partitions set expires_at = clock_timestamp() + ${lease} where owner = ${worker} and no <> all(${releasing})
    returning no, epoch`);
  const taken = db.$with('taken', {}).as(sql`
    update partitions set owner = ${worker}, epoch = epoch + 1, taken_at = clock_timestamp(), expires_at = clock_timestamp() + ${lease}
    where no = any(array(
      select no from partitions
      where owner is distinct from ${worker} and (owner is null or expires_at < clock_timestamp()) order by no
      limit greatest(0, coalesce((select share from share), 0) - (select count(*) from kept))
      for update skip locked))
    returning no, epoch`);
  const query = db
    .with(live, share, freed, kept, taken)
    .select({
      mine: sql<
        Owned['mine']
      >`coalesce((select json_agg(json_build_object('no', no, 'epoch', epoch) order by no) from (select * from kept union all select * from taken) m), '[]')`,
      share: sql<number>`coalesce((select share from share), 0)`,
    })
    .from(sql`(select 1) one`)
    .prepare('own');

  return async (request: { worker: string; leaseMs: number; releasing: readonly number[] }): Promise<Owned> => {
    const [row] = await query.execute({ ...request, releasing: list(request.releasing) });
    return row!;
  };
}
