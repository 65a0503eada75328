import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { batches } from '../schema.ts';
import type { BatchState } from './counts.ts';

/** What a scrape of the metrics asks for each time. */
export interface Standing {
  /** Items of running batches that are not final and whose time has come. */
  backlog: number;
  /** Of the whole server, whoever has them. */
  connections: number;
  connectionsMax: number;
}

/**
 * Standing: what is to be done, and how full the server is. A read of the index of running batches and of what the server counts
 * anyway, in about 1 ms. `pg_stat_database`, since who may not look at others sees in `pg_stat_activity` only its own.
 */
export function prepareStanding(db: Database) {
  const query = db
    .select({
      backlog: sql<number>`coalesce((select sum(total - succeeded - failed)::float8 from batches
        where state = 'running' and (not_before is null or not_before <= clock_timestamp())), 0)`,
      connections: sql<number>`(select coalesce(sum(numbackends), 0)::int from pg_stat_database)`,
      connectionsMax: sql<number>`current_setting('max_connections')::int`,
    })
    .from(sql`(select 1) one`)
    .prepare('standing');
  return async (): Promise<Standing> => (await query.execute())[0]!;
}

/** Batches by state. A read of all of them, 30 ms for 100 000: not for each scrape when there are many. */
export function prepareBatchStates(db: Database) {
  const query = db
    .select({ state: batches.state, count: sql<number>`count(*)::int` })
    .from(batches)
    .groupBy(batches.state)
    .prepare('batch_states');
  return (): Promise<{ state: BatchState; count: number }[]> => query.execute();
}
