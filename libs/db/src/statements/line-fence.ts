import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/** What claim and flush of a line check. A test leaves some of it out, to see that it would notice (TEST_BREAK_ORDER). */
export interface LineFence {
  /** That the partition is held under this lease. */
  lease: boolean;
  /** That a flush settles all of its rows, or none. */
  whole: boolean;
}

export const wholeFence: LineFence = { lease: true, whole: true };

/**
 * CTE `held`: the partition, if it is held under this lease. It is read `for share`, which keeps takers waiting (own.ts) until this
 * has committed: an `exists` on the snapshot let the flush of a former owner through.
 */
export function heldPartition(db: Database, fence: LineFence) {
  const isMine = fence.lease
    ? sql`lease = ${sql.placeholder('lease')}::uuid`
    : sql`${sql.placeholder('lease')}::uuid is not null`;
  return db.$with('held', {}).as(sql`
    select no from partitions where no = ${sql.placeholder('line')}::smallint and ${isMine} for share`);
}
