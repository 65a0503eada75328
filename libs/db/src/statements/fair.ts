import { sql } from 'drizzle-orm';

/**
 * The fair order: start-time fair queueing, of owners, and of the batches of each. A batch's `pass` is what was served of it in items over
 * its weight, and who has least of it is next. The virtual time of an owner (`owners.virtual`) is the pass of what is served now; it never
 * goes back. So a batch that comes, comes back or was idle starts there, and does not catch up on the time in which it wanted nothing.
 */

/** Where a batch starts that comes, or comes back: its priority is so many places behind. Nothing starves, for the virtual time passes. */
export const priorityItems = 1_000_000;

/** What its options say of a batch's place: columns of `batches` for an insert that has them as a parameter. */
export const placeOf = (options: ReturnType<typeof sql>) => {
  const said = (name: string, otherwise: number) =>
    sql`coalesce((${options}->>${sql.raw(`'${name}'`)})::int, ${sql.raw(String(otherwise))})`;
  return { priority: said('priority', 0), weight: said('weight', 1) };
};

/** The virtual time of a batch's owner, with the offset of its priority. Both are SQL: a parameter or a column. */
export const startPass = (owner: ReturnType<typeof sql>, priority: ReturnType<typeof sql>) =>
  sql`(coalesce((select o.virtual from owners o where o.owner = ${owner}), 0) + ${priority} * ${sql.raw(String(priorityItems))}::float8)`;
