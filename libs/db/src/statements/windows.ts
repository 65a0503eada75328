import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { partitions, workers } from '../schema.ts';
import type { WorkerFacts } from './heartbeat.ts';
import { leaseInterval } from './shares.ts';
import { hasBegun, isReleased } from './brakes.ts';

/** A partition as the publisher sees it. `owner` is null while no live worker owns it; `helpers` serve it too. */
export interface Window {
  partition: number;
  epoch: number;
  queued: number;
  running: number;
  /** Age of the oldest queued chunk; null when none is. */
  oldestMs: number | null;
  /** A lease on it has not expired: also of an owner that drains, or that was not seen just now. */
  leased: boolean;
  owner: { id: string; handlers: string[]; facts: WorkerFacts; helpers: WorkerFacts[] } | null;
}

/**
 * Windows: what stands in each partition, who owns it, how many batches have something to run, whether a line waits,
 * and whether a batch does of which nothing may be in flight yet. A read, of partial indexes that hold
 * only what is in flight. A line in a worker's hand counts as one, however many of its chunks are held.
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
      select partition, 0, count(*) filter (where line is null) + count(distinct batch) filter (where line is not null), null
      from chunks where state = 'running' group by partition) x
    group by partition`);
  const live = sql`not w.draining and w.seen > clock_timestamp() - ${leaseInterval()}`;
  const helpers = db.$with('helpers', {
    helped: sql<string>`helped`.as('helped'),
    theirs: sql<WorkerFacts[]>`theirs`.as('theirs'),
  }).as(sql`
    select w.helping as helped, json_agg(w.facts) as theirs from workers w where w.helping is not null and ${live} group by w.helping`);
  const query = db
    .with(flight, helpers)
    .select({
      partition: partitions.no,
      epoch: partitions.epoch,
      leased: sql<boolean>`coalesce(${partitions.expiresAt} > clock_timestamp(), false)`,
      queued: sql<number>`coalesce(${flight.queued}, 0)`,
      running: sql<number>`coalesce(${flight.running}, 0)`,
      oldestMs: flight.oldest,
      newcomers: sql<boolean>`exists (select from batches b join owners o using (owner)
        where b.state = 'running' and not b.keyed and b.pass <= o.virtual and b.succeeded + b.failed < b.total and ${hasBegun}
          and exists (select from chunks c where c.batch = b.no and c.state = 'pending' and c.not_before is null and c.line is null and ${isReleased}))`,
      linesWait: sql<boolean>`exists (select from chunks where line is not null and state = 'pending' and not_before is null)`,
      batches: sql<number>`(select count(*)::int from batches where state = 'running' and succeeded + failed < total)`,
      owner: {
        id: workers.id,
        handlers: workers.handlers,
        facts: sql<WorkerFacts>`${workers.facts}`,
        helpers: sql<WorkerFacts[]>`coalesce(${helpers.theirs}, '[]')`,
      },
    })
    .from(partitions)
    .leftJoin(flight, sql`${flight.partition} = ${partitions.no}`)
    .leftJoin(
      workers,
      sql`${workers.id} = ${partitions.owner} and not ${workers.draining} and ${workers.seen} > clock_timestamp() - ${leaseInterval()}`,
    )
    .leftJoin(helpers, sql`${helpers.helped} = ${workers.id}`)
    .orderBy(partitions.no)
    .prepare('windows');

  return async (request: {
    leaseMs: number;
  }): Promise<{ windows: Window[]; batchesRunning: number; linesWait: boolean; newcomers: boolean }> => {
    const rows = await query.execute(request);
    return {
      windows: rows.map(({ partition, epoch, queued, running, oldestMs, leased, owner }) => ({
        partition,
        epoch,
        queued,
        running,
        oldestMs,
        leased,
        owner,
      })),
      batchesRunning: rows[0]?.batches ?? 0,
      linesWait: rows[0]?.linesWait ?? false,
      newcomers: rows[0]?.newcomers ?? false,
    };
  };
}
