import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/**
 * Probe: whether the database can store this JSON array. Throws the error of class 22 or 54 that a flush would.
 *
 * A read; answers the number of elements.
 */
export function prepareProbe(db: Database) {
  const query = db
    .select({
      n: sql<number>`(select count(*)::int from json_array_elements(${sql.placeholder('outputs')}::text::json))`,
    })
    .from(sql`(select 1) one`)
    .prepare('probe');
  return async (outputs: string): Promise<number> => (await query.execute({ outputs }))[0]!.n;
}
