import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import type { WorkerFacts } from '../statements/heartbeat.ts';

export interface WorkFacts {
  /** Null before the first start. */
  installationId: string | null;
  partitions: number;
  /** Workers that were seen within a lease. */
  workers: {
    name: string;
    draining: boolean;
    /** What it said with its last heartbeat. */
    facts: WorkerFacts;
  }[];
  /** Partitions that no live worker owns. */
  unowned: number[];
  batchesRunning: number;
  /** Items of running batches that are not done. */
  itemsOpen: number;
  /** Handlers that running batches name and no live worker knows. */
  unknownHandlers: { handler: string; batches: number; items: number }[];
  /** Chunks that run under a worker which was not seen for three leases. */
  stranded: { chunks: number; items: number };
}

/** What runs, who runs it, and what nobody can or does run. A read, of partial indexes and small tables. */
export async function inspectWork(db: Database, { leaseMs }: { leaseMs: number }): Promise<WorkFacts> {
  const seenWithin = (leases: number) =>
    sql`w.seen > clock_timestamp() - make_interval(secs => ${leaseMs * leases}::float8 / 1000)`;
  const [row] = (await db.execute(sql`
    with live as (select id, name, draining, handlers, facts, started_at from workers w where ${seenWithin(1)} and facts -> 'isolated' is null),
    unknown as (
      select handler, count(*)::int as batches, sum(total - succeeded - failed)::float8 as items from batches b
      where state = 'running' and succeeded + failed < total and not exists (select from live where b.handler = any(live.handlers) and not live.draining)
      group by handler order by handler)
    select (select id from installation) as "installationId", (select count(*)::int from partitions) as partitions,
      (select coalesce(json_agg(json_build_object('name', name, 'draining', draining, 'facts', facts)
        order by started_at, id), '[]') from live) as workers,
      (select coalesce(json_agg(p.no order by p.no), '[]') from partitions p
        where p.owner is null or p.owner not in (select id from live)) as unowned,
      (select count(*)::int from batches where state = 'running' and succeeded + failed < total) as "batchesRunning",
      (select coalesce(sum(total - succeeded - failed), 0)::float8 from batches where state = 'running') as "itemsOpen",
      (select coalesce(json_agg(unknown), '[]') from unknown) as "unknownHandlers",
      (select json_build_object('chunks', count(*), 'items', coalesce(sum(c.size), 0)) from chunks c
        where c.state = 'running' and not exists (select from workers w where w.id = c.worker and ${seenWithin(3)})) as stranded`)) as unknown as [
    WorkFacts,
  ]; // prettier-ignore
  return row;
}
