import { sql } from 'drizzle-orm';
import { list, wholeNumbers } from '../bind.ts';
import type { NewChunk } from './accept.ts';

/**
 * For each chunk that is given its line and the indexes of its items, as two lists of an `unnest`; of the second each element is
 * the text of a list. Both are null for a batch without keys, whose statements then carry nothing for this.
 */
export const linesGiven = sql`${sql.placeholder('lines')}::smallint[], string_to_array(${sql.placeholder('indexes')}::text, ';')`;

/** The parameters of `linesGiven`. The chunks of a batch have all of them a line, or none has. */
export function linesOf(chunks: readonly NewChunk[]): { lines: string | null; indexes: string | null } {
  if (chunks[0]?.line == null) return { lines: null, indexes: null };
  return {
    lines: list(chunks.map(({ line }) => line!)),
    indexes: chunks.map(({ indexes }) => wholeNumbers(indexes!)).join(';'),
  };
}
