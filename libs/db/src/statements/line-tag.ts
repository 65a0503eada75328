import { eq, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { batches, owners } from '../schema.ts';

/** Tag that a line of a batch would have if it were marked now (mark-lines.ts); null: the batch is gone. A read. */
export function prepareLineTag(db: Database) {
  const query = db
    .select({ tag: sql<number>`(select virtual from installation) + greatest(0, ${batches.pass} - ${owners.virtual})` })
    .from(batches)
    .innerJoin(owners, eq(owners.owner, batches.owner))
    .where(eq(batches.no, sql.placeholder('no')))
    .prepare('line_tag');
  return async (no: number): Promise<number | null> => (await query.execute({ no }))[0]?.tag ?? null;
}
