import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { chunks } from '../schema.ts';

export interface Charge {
  worker: string;
  /** Number of the row. */
  no: number;
  /** Null: all of its items that are left have. */
  index: number | null;
  /** What it fails with when that was its last attempt. */
  error: { code: string; message: string };
}

/**
 * Charge: an item of a row in a line has used an attempt, or all of the row have, which its worker's watchdog says before the process
 * ends. Nothing is settled here: what ran before it in its group, and is not flushed, would be overtaken. The next owner of the line
 * refuses an item whose attempts are used up (apps/worker/src/lines/running.ts).
 *
 * Repeatable in effect: a second run sees the first one's attempt and adds one more, which can only end an item sooner that ends
 * processes; the row is the worker's own until `abandon`.
 */
export function prepareCharge(db: Database) {
  const index = sql`${sql.placeholder('index')}::bigint`;
  const left = sql`coalesce(c.picks, (select indexes from inputs where batch = c.batch and first = c.src))`;
  const charged = db.$with('charged', { no: chunks.no }).as(sql`
    update chunks c set tried_at = clock_timestamp(), tries = (
      select json_agg(case when i is null then t else jsonb_build_array(i, coalesce((t->>1)::int, c.attempt) + 1, 0, ${sql.placeholder('error')}::text::json) end)
      from unnest(case when ${index} is null then ${left} else array[${index}] end) i
        full join jsonb_array_elements(coalesce(c.tries::jsonb, '[]')) t on (t->>0)::bigint = i)
    where c.no = ${sql.placeholder('no')}::bigint and c.worker = ${sql.placeholder('worker')}::uuid and c.state = 'running' and c.line is not null
    returning c.no`);
  const query = db.with(charged).select({ no: charged.no }).from(charged).prepare('charge');
  return async ({ error, ...request }: Charge): Promise<boolean> =>
    (await query.execute({ ...request, error: JSON.stringify(error) })).length > 0;
}
