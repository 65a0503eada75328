import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/** Backlog: items that are not final, of all batches that have not ended. A read, of each batch's row. */
export function prepareBacklog(db: Database) {
  const query = db
    .select({ items: sql<number>`coalesce(sum(total - succeeded - failed), 0)::float8` })
    .from(sql`batches`)
    .where(sql`state in ('running', 'paused')`)
    .prepare('backlog');
  return async (): Promise<number> => (await query.execute())[0]!.items;
}
