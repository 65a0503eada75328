import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { leaseInterval } from './shares.ts';

export interface Help {
  /** Whom this worker helps now, and with which partitions. */
  owner: { id: string; name: string; partitions: number[] } | null;
  /** How many other workers own partitions. */
  owners: number;
  /** Handlers of theirs that this worker does not know: it cannot help who may get a job of one. */
  missing: string[];
}

/**
 * Help, each second of a worker that owns nothing: chooses the owner whose partitions it serves too, and writes it down
 * for the publisher, which gives this owner more.
 *
 * Repeatable: it sets what should be so. A worker that owns a partition by now helps nobody any more.
 *
 * The choice is, of the owners whose handlers it all knows, the one with the fewest helpers, then with the most queued
 * chunks; equals are told apart by a hash of both ids, so that helpers that start together spread. It stays there; only
 * the youngest helper of an owner moves on when another owner has fewer, so that two never swap.
 */
export function prepareHelp(db: Database) {
  const worker = sql`${sql.placeholder('worker')}::uuid`;
  const live = db.$with('live', {}).as(sql`
    select id, name, started_at, handlers, helping from workers
    where not draining and (seen > clock_timestamp() - ${leaseInterval()} or id = ${worker})`);
  const me = db.$with('me', {}).as(sql`select * from live where id = ${worker}`);
  const helpers = db.$with('helpers', {}).as(sql`
    select h.helping, count(*) as n, bool_or((h.started_at, h.id) > (me.started_at, me.id)) as has_younger
    from live h cross join me where h.helping is not null and h.id <> me.id group by h.helping`);
  const waiting = db.$with('waiting', {}).as(sql`
    select partition, count(*) as n from chunks where state = 'queued' group by partition`);
  const owned = db.$with('owned', {}).as(sql`
    select p.owner, array_agg(p.no order by p.no) as partitions, sum(w.n) as queued
    from partitions p left join waiting w on w.partition = p.no where p.expires_at > clock_timestamp() group by p.owner`);
  const owners = db.$with('owners', {}).as(sql`
    select l.id, l.name, l.handlers <@ me.handlers as known, o.partitions, coalesce(o.queued, 0) as queued,
      coalesce(h.n, 0) as helpers, coalesce(h.has_younger, false) as has_younger
    from me cross join live l join owned o on o.owner = l.id left join helpers h on h.helping = l.id
    where l.id <> me.id`);
  const choice = db.$with('choice', {}).as(sql`
    select o.* from owners o cross join me
    where o.known and not exists (select from partitions where owner = me.id)
    order by o.id is not distinct from me.helping
        and (o.has_younger or o.helpers <= (select min(helpers) from owners where known)) desc,
      o.helpers, o.queued desc, md5(o.id::text || me.id::text)
    limit 1`);
  const helped = db.$with('helped', {}).as(sql`
    update workers set helping = (select id from choice)
    where id = ${worker} and helping is distinct from (select id from choice)`);
  const query = db
    .with(live, me, helpers, waiting, owned, owners, choice, helped)
    .select({
      owner: sql<
        Help['owner']
      >`(select json_build_object('id', id, 'name', name, 'partitions', partitions) from choice)`,
      owners: sql<number>`(select count(*)::int from owners)`,
      missing: sql<string[]>`coalesce((
        select json_agg(distinct h) from live l join owners o using (id) cross join unnest(l.handlers) h
        where not exists (select from me where h = any(me.handlers))), '[]')`,
    })
    .from(sql`(select 1) one`)
    .prepare('help');

  return async (request: { worker: string; leaseMs: number }): Promise<Help> => {
    const [row] = await query.execute(request);
    return row!;
  };
}
