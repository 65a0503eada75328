import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { inputs } from '../schema.ts';
import type { Inputs } from './claim.ts';
import { holds } from './open-lines.ts';

/** A row of inputs. */
export interface InputsRow extends Inputs {
  /** Of a keyed batch: the index of each element; null: they follow one another. */
  indexes: number[] | null;
}

/**
 * Inputs: the row that holds the input of an item, 1 MiB at most (`chunkMaxBytes`). A read by key. Null in a count batch.
 *
 * Rows of a keyed batch lie across one another: it goes back over those that began before the item, of 50 000 items at most, and
 * seldom over more than there are lines.
 */
export function prepareInputs(db: Database) {
  const query = db
    .select({ first: inputs.first, indexes: inputs.indexes, items: inputs.items })
    .from(inputs)
    .where(sql`${inputs.batch} = ${sql.placeholder('batch')} and ${holds(sql`${sql.placeholder('index')}::bigint`)}`)
    .orderBy(sql`${inputs.first} desc`)
    .limit(1)
    .prepare('inputs');
  return async (request: { batch: number; index: number }): Promise<InputsRow | null> =>
    (await query.execute(request))[0] ?? null;
}
