import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

export interface SpaceFacts {
  /** Numbers whose rows should have gone this long ago and are still there. */
  overdue: number;
  /** Ranges of numbers, each of which is a table of results and one of inputs. */
  ranges: number;
}

/** What was deleted and still takes space after `afterMs`. A read. */
export async function inspectSpace(db: Database, { afterMs }: { afterMs: number }): Promise<SpaceFacts> {
  const [row] = (await db.execute(sql`
    select (select count(*)::int from ranges) as ranges, (select count(*)::int from garbage g
      where g.rows_at < clock_timestamp() - make_interval(secs => ${afterMs}::float8 / 1000)
        and not exists (select from ranges r where r.emptied and g.no >= r.first and g.no < r.upto)) as overdue`)) as unknown as [
    SpaceFacts,
  ];
  return row;
}
