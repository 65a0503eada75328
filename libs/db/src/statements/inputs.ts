import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { inputs } from '../schema.ts';
import type { Inputs } from './claim.ts';

/**
 * Inputs: the row that holds the input of an item, the last that starts at or before it, 1 MiB at most (`chunkMaxBytes`).
 * A read by key. Null in a count batch.
 */
export function prepareInputs(db: Database) {
  const query = db
    .select({ first: inputs.first, items: inputs.items })
    .from(inputs)
    .where(sql`${inputs.batch} = ${sql.placeholder('batch')} and ${inputs.first} <= ${sql.placeholder('index')}`)
    .orderBy(sql`${inputs.first} desc`)
    .limit(1)
    .prepare('inputs');
  return async (request: { batch: number; index: number }): Promise<Inputs | null> =>
    (await query.execute(request))[0] ?? null;
}
