import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/** Who asks: the name and id of an API key, or null where there are none. */
export type Who = string | null;

/**
 * The row that each control call leaves, written by the statement that does it. `from` is SQL for a row with `target`; `changed` names the CTE that is
 * empty where it was so already. Placeholders: `who`, and `detail`, a json text or null, where `hasDetail`.
 */
export const audited = (
  db: Database,
  action: string,
  { from, changed = 'changed', hasDetail = false }: { from: SQL; changed?: string; hasDetail?: boolean },
) =>
  db.$with('audited', {}).as(sql`
    insert into audit (who, action, target, changed, detail)
    select ${sql.placeholder('who')}::text, ${sql.raw(`'${action}'`)}, x.target, exists (select from ${sql.raw(changed)}),
      ${hasDetail ? sql`${sql.placeholder('detail')}::text::json` : sql`null::json`}
    from (${from}) x`);

/** The batch of the placeholder `batch`. */
export const thatBatch = sql`select id::text as target from batches where no = ${sql.placeholder('batch')}::int`;
