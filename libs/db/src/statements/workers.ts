import { asc, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { workers } from '../schema.ts';
import type { WorkerFacts } from './heartbeat.ts';

export interface WorkerRow {
  id: string;
  name: string;
  host: string;
  pid: number;
  startedAt: Date;
  seen: Date;
  concurrency: number;
  draining: boolean;
  /** Id of the worker it helps. */
  helping: string | null;
  pins: number[] | null;
  facts: WorkerFacts;
  partitions: number[];
}

/** Workers that were seen within a lease, oldest first; not the processes in which they run suspects. A read. */
export function prepareWorkers(db: Database) {
  const query = db
    .select({
      id: workers.id,
      name: workers.name,
      host: workers.host,
      pid: workers.pid,
      startedAt: workers.startedAt,
      seen: workers.seen,
      concurrency: workers.concurrency,
      draining: workers.draining,
      helping: workers.helping,
      pins: workers.pins,
      facts: sql<WorkerFacts>`${workers.facts}`,
      partitions: sql<
        number[]
      >`coalesce((select json_agg(p.no order by p.no) from partitions p where p.owner = workers.id), '[]')`,
    }) // prettier-ignore
    .from(workers)
    .where(
      sql`${workers.seen} > clock_timestamp() - make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)
        and ${workers.facts} -> 'isolated' is null`,
    )
    .orderBy(asc(workers.startedAt), asc(workers.id))
    .prepare('workers');
  return (request: { leaseMs: number }): Promise<WorkerRow[]> => query.execute(request);
}
