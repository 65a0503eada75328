import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { chunks, inputs } from '../schema.ts';
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

/**
 * Inputs after: the row of inputs that begins next after `after` (−1: the first one), or null at the end. A read by key. Rows of a
 * keyed batch lie across one another, and come in the order in which they begin.
 *
 * `counted`: the batch has no inputs and never had any, since its items were given by their count. Of an open batch all inputs may be gone (trim.ts).
 */
export function prepareInputsAfter(db: Database) {
  const batch = sql`${sql.placeholder('batch')}::int`;
  const next = db
    .select({ first: inputs.first, indexes: inputs.indexes, items: inputs.items })
    .from(inputs)
    .where(sql`${inputs.batch} = ${batch} and ${inputs.first} > ${sql.placeholder('after')}::bigint`)
    .orderBy(inputs.first)
    .limit(1)
    .prepare('inputs_after');
  const trimmed = db
    .select({ no: chunks.no })
    .from(chunks)
    .where(sql`${chunks.batch} = ${batch} and ${chunks.state} = 'done' and ${chunks.src} = -1`)
    .limit(1)
    .prepare('inputs_trimmed');
  return async (request: { batch: number; after: number }): Promise<{ row: InputsRow | null; counted: boolean }> => {
    const [row] = await next.execute(request);
    const counted = row === undefined && request.after < 0 && (await trimmed.execute(request)).length === 0;
    return { row: row ?? null, counted };
  };
}
