import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { partitions, workers } from '../schema.ts';
import type { WorkerFacts } from './heartbeat.ts';

/** A partition as the publisher sees it. `owner` is null while no live worker owns it. */
export interface Window {
  partition: number;
  epoch: number;
  queued: number;
  running: number;
  /** Age of the oldest queued chunk; null when none is. */
  oldestMs: number | null;
  owner: { id: string; handlers: string[]; facts: WorkerFacts } | null;
}

/**
 * Windows: what stands in each partition, who owns it, and how many batches run. A read, of partial indexes that hold
 * only what is in flight.
 */
export function prepareWindows(db: Database) {
  const flight = db.$with('flight', {
    partition: sql<number>`partition`.as('partition'),
    queued: sql<number>`queued`.as('queued'),
    running: sql<number>`running`.as('running'),
    oldest: sql<number | null>`oldest`.as('oldest'),
  }).as(sql`
    select partition, sum(q)::int as queued, sum(r)::int as running, extract(epoch from clock_timestamp() - min(oldest))::float8 * 1000 as oldest
    from (
      select partition, count(*) as q, 0 as r, min(queued_at) as oldest from chunks where state = 'queued' group by partition
      union all
      select partition, 0, count(*), null from chunks where state = 'running' group by partition) x
    group by partition`);
  const query = db
    .with(flight)
    .select({
      partition: partitions.no,
      epoch: partitions.epoch,
      queued: sql<number>`coalesce(${flight.queued}, 0)`,
      running: sql<number>`coalesce(${flight.running}, 0)`,
      oldestMs: flight.oldest,
      batches: sql<number>`(select count(*)::int from batches where state = 'running')`,
      owner: {
        id: workers.id,
        handlers: workers.handlers,
        facts: sql<WorkerFacts>`${workers.facts}`,
      },
    })
    .from(partitions)
    .leftJoin(flight, sql`${flight.partition} = ${partitions.no}`)
    .leftJoin(
      workers,
      sql`${workers.id} = ${partitions.owner} and not ${workers.draining} and ${workers.seen} > clock_timestamp() - make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)`,
    )
    .orderBy(partitions.no)
    .prepare('windows');

  return async (request: { leaseMs: number }): Promise<{ windows: Window[]; batchesRunning: number }> => {
    const rows = await query.execute(request);
    return {
      windows: rows.map(({ partition, epoch, queued, running, oldestMs, owner }) => ({
        partition,
        epoch,
        queued,
        running,
        oldestMs,
        owner,
      })),
      batchesRunning: rows[0]?.batches ?? 0,
    };
  };
}
