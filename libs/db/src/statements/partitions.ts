import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { partitions } from '../schema.ts';
import { leaseInterval, planShares } from './shares.ts';

export interface PartitionRow {
  partition: number;
  epoch: number;
  /** Null while nobody has a lease on it. */
  owner: { id: string; name: string } | null;
  takenAt: string | null;
  expiresAt: string | null;
  /** Name of the live worker it is pinned to. */
  pinnedTo: string | null;
  /** Kept for a pinned worker that is away. */
  reserved: boolean;
  /** Names of the workers that serve it beside its owner. */
  helpers: string[];
  queued: number;
  running: number;
  /** Age of the oldest queued chunk; null when none is. */
  oldestMs: number | null;
}

/** Partitions: who owns each and why, and what stands in it, for people. A read; the publisher has `windows`. */
export function preparePartitions(db: Database) {
  const leased = db.$with('leased', {}).as(sql`
    select p.no, w.id, w.name, p.taken_at, p.expires_at from partitions p join workers w on w.id = p.owner
    where p.expires_at > clock_timestamp()`);
  const helpers = db.$with('helpers', {}).as(sql`
    select helping, json_agg(name order by name) as names from workers
    where helping is not null and not draining and seen > clock_timestamp() - ${leaseInterval()} group by helping`);
  const flight = db.$with('flight', {}).as(sql`
    select partition, count(*) filter (where state = 'queued')::int as queued,
      count(*) filter (where state = 'running')::int as running,
      extract(epoch from clock_timestamp() - min(queued_at) filter (where state = 'queued'))::float8 * 1000 as oldest_ms
    from chunks where state = 'queued' or state = 'running' group by partition`);
  const iso = (column: ReturnType<typeof sql>) =>
    sql<string | null>`to_char(${column} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
  const query = db
    .with(...planShares(db, sql`null::uuid`), leased, helpers, flight)
    .select({
      partition: partitions.no,
      epoch: partitions.epoch,
      owner: sql<
        PartitionRow['owner']
      >`case when l.id is not null then json_build_object('id', l.id, 'name', l.name) end`,
      takenAt: iso(sql`l.taken_at`),
      expiresAt: iso(sql`l.expires_at`),
      pinnedTo: sql<string | null>`x.name`,
      reserved: sql<boolean>`s.reserved`,
      helpers: sql<string[]>`coalesce(h.names, '[]')`,
      queued: sql<number>`coalesce(f.queued, 0)`,
      running: sql<number>`coalesce(f.running, 0)`,
      oldestMs: sql<number | null>`f.oldest_ms`,
    })
    .from(partitions)
    .innerJoin(sql`plan s`, sql`s.no = ${partitions.no}`)
    .leftJoin(sql`live x`, sql`x.id = s.pinned_to`)
    .leftJoin(sql`leased l`, sql`l.no = ${partitions.no}`)
    .leftJoin(sql`helpers h`, sql`h.helping = l.id`)
    .leftJoin(sql`flight f`, sql`f.partition = ${partitions.no}`)
    .orderBy(partitions.no)
    .prepare('partitions');
  return (request: { leaseMs: number }): Promise<PartitionRow[]> => query.execute(request);
}
