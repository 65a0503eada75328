import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

interface Wait {
  pid: number;
  name: string;
  /** How long the statement has run, or the transaction has done nothing. */
  ms: number;
  /** Sessions that it waits for; the first of them would have to go. */
  blockers: number[];
}

export interface WaitFacts {
  /** Sessions of this database that wait for a lock right now, however shortly. */
  lockWaits: number;
  /** Statements that have been waiting for a lock for `blockedMs`. */
  blocked: Wait[];
  /** Transactions that have stood open and idle for `idleMs`: they hold their locks and hold up vacuum. */
  idle: Wait[];
}

/** Who waits for whom in this database. A read. */
export async function inspectWaits(db: Database, terms: { blockedMs: number; idleMs: number }): Promise<WaitFacts> {
  const rows = (await db.execute(sql`
    select pid, application_name as name, coalesce(wait_event_type, '') = 'Lock' as waits,
      extract(epoch from clock_timestamp() - case when state = 'active' then query_start else state_change end)::float8 * 1000 as ms,
      state like 'idle in transaction%' as idle, array_to_json(pg_blocking_pids(pid)) as blockers
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
    order by ms desc`)) as unknown as (Wait & { waits: boolean; idle: boolean })[];
  const wait = ({ pid, name, ms, blockers }: Wait): Wait => ({ pid, name, ms, blockers });
  return {
    lockWaits: rows.filter((row) => row.waits).length,
    blocked: rows.filter((row) => row.blockers.length > 0 && row.ms >= terms.blockedMs).map(wait),
    idle: rows.filter((row) => row.idle && row.ms >= terms.idleMs).map(wait),
  };
}
