import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { chunks } from '../schema.ts';

export interface Charge {
  worker: string;
  /** Number of the row. */
  no: number;
  index: number;
  /** What it fails with when that was its last attempt. */
  error: { code: string; message: string };
}

/**
 * Charge: an item of a row in a line has used an attempt, which its worker's watchdog says before the process ends. Nothing is settled
 * here: what ran before it in its group, and is not flushed, would be overtaken. The next owner of the line refuses an item whose
 * attempts are used up (apps/worker/src/lines/running.ts).
 *
 * Repeatable in effect: a second run sees the first one's attempt and adds one more, which can only end an item sooner that ends
 * processes; the row is the worker's own until `abandon`.
 */
export function prepareCharge(db: Database) {
  const index = sql`${sql.placeholder('index')}::bigint`;
  const charged = db.$with('charged', { no: chunks.no }).as(sql`
    update chunks c set tried_at = clock_timestamp(), tries = (
      select coalesce(jsonb_agg(t) filter (where (t->>0)::bigint <> ${index}), '[]')
        || jsonb_build_array(jsonb_build_array(${index}, coalesce(max((t->>1)::int) filter (where (t->>0)::bigint = ${index}), c.attempt) + 1, 0, ${sql.placeholder('error')}::text::json))
      from jsonb_array_elements(coalesce(c.tries::jsonb, '[]')) t)::json
    where c.no = ${sql.placeholder('no')}::bigint and c.worker = ${sql.placeholder('worker')}::uuid and c.state = 'running' and c.line is not null
    returning c.no`);
  const query = db.with(charged).select({ no: charged.no }).from(charged).prepare('charge');
  return async ({ error, ...request }: Charge): Promise<boolean> =>
    (await query.execute({ ...request, error: JSON.stringify(error) })).length > 0;
}
