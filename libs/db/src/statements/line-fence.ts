import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/**
 * CTE `held`: the partition, if it is held under this lease. It is read `for share`, which keeps takers waiting (own.ts) until this
 * has committed: an `exists` on the snapshot let the flush of a former owner through.
 */
export const heldPartition = (db: Database) =>
  db.$with('held', {}).as(sql`
    select no from partitions where no = ${sql.placeholder('line')}::smallint and lease = ${sql.placeholder('lease')}::uuid for share`);
