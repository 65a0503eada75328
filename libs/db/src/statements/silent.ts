import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list } from '../bind.ts';
import { workers } from '../schema.ts';

/** Silent: which of these workers were not seen for three leases, of which the server was there. A read. */
export function prepareSilent(db: Database) {
  const query = db
    .select({ id: workers.id })
    .from(workers)
    .where(
      sql`${workers.id} = any(${sql.placeholder('ids')}::uuid[]) and greatest(${workers.seen}, pg_postmaster_start_time())
        < clock_timestamp() - 3 * make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)`,
    )
    .prepare('silent');
  return async (request: { ids: readonly string[]; leaseMs: number }): Promise<string[]> =>
    (await query.execute({ ...request, ids: list(request.ids) })).map(({ id }) => id);
}
