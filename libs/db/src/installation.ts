import { sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { installation, partitions } from './schema.ts';

export interface Installation {
  /** Names this database in Redis: two databases on one Redis never see each other's jobs. */
  id: string;
  partitions: number;
}

/**
 * Reads what was fixed when this database was first used, and fixes it if this is the first use. `wanted` partitions
 * (12 where null) count only then; later another number is refused.
 */
export async function install(db: Database, wanted: number | null): Promise<Installation> {
  const first = db.$with('first', { id: installation.id, partitions: installation.partitions }).as(sql`
    insert into installation (partitions) values (${wanted ?? 12})
    on conflict (one) do update set one = true returning id, partitions`);
  const made = db.$with('made', {}).as(sql`
    insert into ${partitions} (no) select n from first, generate_series(0, first.partitions - 1) n on conflict (no) do nothing`);
  const [row] = await db.with(first, made).select({ id: first.id, partitions: first.partitions }).from(first);
  if (wanted !== null && row!.partitions !== wanted) throw new PartitionsError(wanted, row!.partitions);
  return row!;
}

/** The number of partitions is where keyed work goes, so it cannot change under it. Ends the process with 78 (EX_CONFIG). */
class PartitionsError extends Error {
  readonly exitCode = 78;
  constructor(wanted: number, found: number) {
    super(`PARTITIONS is ${wanted}, but this database was set up with ${found}: unset it, or use another database`);
  }
}
