import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/**
 * Probe: whether the database can store these JSON texts (`joinTexts`). Throws the error of class 22 or 54 that a flush would.
 *
 * A read; answers how many they are.
 */
export function prepareProbe(db: Database) {
  const query = db
    .select({
      n: sql<number>`(select count(o::json)::int from unnest(string_to_array(${sql.placeholder('outputs')}::text, E'\\x1f')) o)`,
    })
    .from(sql`(select 1) one`)
    .prepare('probe');
  return async (outputs: string): Promise<number> => (await query.execute({ outputs }))[0]!.n;
}
