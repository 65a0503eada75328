import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list } from '../bind.ts';
import { leaseInterval, planShares } from './shares.ts';

/** A partition that a worker owns: by its pins, as one of its share, or one that is pinned to another worker by now. */
export interface OwnedPartition {
  no: number;
  /** Its fence for keyed work. */
  lease: string;
  /** Counts the owners it has had. */
  epoch: number;
  hold: 'pinned' | 'shared' | 'foreign';
}

export interface Owned {
  mine: OwnedPartition[];
  /** How many of the partitions without a pin it should own. More than that: drain some and name them in `releasing`. */
  share: number;
  /** How many are pinned to it, whoever owns them now. */
  pinned: number;
  /** Kept for pinned workers that are away. */
  reserved: number;
  /** Others help it with its partitions. */
  helped: boolean;
  /** The worker that started earlier and has some of the same pins; null while this one's own pins count. */
  pinsHeldBy: string | null;
}

/**
 * Own, twice a second: renews the leases of a worker's partitions, gives back those it has drained, and takes free or
 * expired ones: those pinned to it, and of the others up to its fair share.
 *
 * Repeatable: it sets what should be so; a lost reply is answered by the next run. A worker that drains takes nothing.
 *
 * The share is the number of partitions without a pin over the workers that share them, one more for the first in the
 * order of their start (shares.ts). Rows are locked before they are judged free, so that of two takers one skips: so also
 * while a flush of keyed work holds the row (flush-line.ts).
 */
export function prepareOwn(db: Database) {
  const worker = sql`${sql.placeholder('worker')}::uuid`;
  const releasing = sql`${sql.placeholder('releasing')}::smallint[]`;
  const until = sql`clock_timestamp() + ${leaseInterval()}`;
  const isFree = sql`owner is distinct from ${worker} and (owner is null or expires_at < clock_timestamp())`;
  const share = db.$with('share', {}).as(sql`
    select (p.n / s.n + case when s.rank < p.n % s.n then 1 else 0 end)::int as share
    from sharers s cross join (select count(*) as n from plan where pinned_to is null and not reserved) p
    where s.id = ${worker}`);
  const freed = db.$with('freed', {}).as(sql`
    update partitions set owner = null, lease = null, expires_at = null where owner = ${worker} and no = any(${releasing})`);
  const kept = db.$with('kept', {}).as(sql`
    update partitions set expires_at = ${until}, lease = coalesce(lease, gen_random_uuid())
    where owner = ${worker} and no <> all(${releasing}) returning no, lease, epoch`);
  const pinsFree = sql`
    select no from partitions where ${isFree} and no = any(array(select no from plan where pinned_to = ${worker}))
    order by no for update skip locked`;
  const sharedFree = sql`
    select no from partitions
    where ${isFree} and no = any(array(select no from plan where pinned_to is null and not reserved)) order by no
    limit greatest(0, coalesce((select share from share), 0)
      - (select count(*) from kept join plan using (no) where pinned_to is null))
    for update skip locked`;
  const taken = db.$with('taken', {}).as(sql`
    update partitions set owner = ${worker}, lease = gen_random_uuid(), epoch = epoch + 1, taken_at = clock_timestamp(), expires_at = ${until}
    where no = any(array(${pinsFree}) || array(${sharedFree}))
    returning no, lease, epoch`);
  const mine = sql`
    select json_build_object('no', m.no, 'lease', m.lease, 'epoch', m.epoch, 'hold',
      case when pinned_to is null then 'shared' when pinned_to = ${worker} then 'pinned' else 'foreign' end) as one
    from (select * from kept union all select * from taken) m join plan using (no) order by m.no`;
  const earlier = sql`
    select e.name from live m join live e on e.pins && m.pins and (e.started_at, e.id) < (m.started_at, m.id)
    where m.id = ${worker} order by e.started_at, e.id limit 1`;
  const query = db
    .with(...planShares(db, worker), share, freed, kept, taken)
    .select({
      mine: sql<OwnedPartition[]>`coalesce((select json_agg(one) from (${mine}) x), '[]')`,
      share: sql<number>`coalesce((select share from share), 0)`,
      pinned: sql<number>`(select count(*)::int from plan where pinned_to = ${worker})`,
      reserved: sql<number>`(select count(*)::int from plan where reserved)`,
      helped: sql<boolean>`exists (select from workers where helping = ${worker} and not draining and seen > clock_timestamp() - ${leaseInterval()})`,
      pinsHeldBy: sql<string | null>`(${earlier})`,
    })
    .from(sql`(select 1) one`)
    .prepare('own');

  return async (request: { worker: string; leaseMs: number; releasing: readonly number[] }): Promise<Owned> => {
    const [row] = await query.execute({ ...request, releasing: list(request.releasing) });
    return row!;
  };
}
