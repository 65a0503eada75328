import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/** Clock: the database's time, in ms, for a statement that must not count when it comes late (repair.ts). A read. */
export function prepareClock(db: Database) {
  const query = db
    .select({ now: sql<number>`(extract(epoch from clock_timestamp()) * 1000)::float8` })
    .from(sql`(select 1) one`)
    .prepare('clock');
  return async (): Promise<number> => (await query.execute())[0]!.now;
}
