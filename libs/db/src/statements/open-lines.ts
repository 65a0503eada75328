import { type SQL, sql } from 'drizzle-orm';

/** Which row of inputs holds an item: the last that starts at or before it, in a keyed batch the last of those that have its index. */
export const holds = (index: SQL): SQL => sql`first <= ${index} and (indexes is null or ${index} = any(indexes))`;

/**
 * An unfinished chunk of a line holds this item. The row of its inputs is looked up once, and only where the batch has lines at
 * all; then all open chunks are walked through: 0.4 ms for 10 000.
 */
export const openInLine = (batch: SQL, index: SQL): SQL => sql`exists (
  select from chunks c where c.batch = ${batch} and c.line is not null and c.state <> 'done'
    and c.src = (select first from inputs where batch = ${batch} and ${holds(index)} order by first desc limit 1)
    and (c.picks is null or ${index} = any(c.picks)))`;
