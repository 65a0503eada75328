import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list } from '../bind.ts';
import { openInLine } from './open-lines.ts';

/** An item whose end somebody waits for. */
export interface Awaited {
  /** Id of its batch. */
  batch: string;
  index: number;
  /** Look also whether it was acknowledged without a result, which takes longer. */
  closely: boolean;
}

/** One that is final: its place in what was asked, and the number of its batch. */
export interface ItemSettled {
  at: number;
  batch: number;
}

/**
 * Settled: which of these items are final. A read, for all callers that wait.
 *
 * An item that was only acknowledged has no row; it is final when no unfinished chunk holds it. Each state of such a chunk
 * has a partial index of its own, hence the union.
 */
export function prepareSettled(db: Database) {
  const open = sql`exists (
    select from (
      select first, size, picks from chunks c where c.batch = w.batch and c.state = 'pending' and c.not_before is null and c.line is null and c.first <= w.index
      union all select first, size, picks from chunks c where c.batch = w.batch and c.state = 'running' and c.line is null
      union all select first, size, picks from chunks c where c.batch = w.batch and c.state = 'queued' and c.line is null
      union all select first, size, picks from chunks c where c.batch = w.batch and c.state = 'pending' and c.not_before is not null and c.line is null) c
    where case when c.picks is null then w.index >= c.first and w.index < c.first + c.size else w.index = any(c.picks) end)
    or ${openInLine(sql`w.batch`, sql`w.index`)}`;
  const wanted = db.$with('wanted', { at: sql<number>`at`.as('at'), batch: sql<number>`batch`.as('batch') }).as(sql`
    select at::int - 1 as at, b.no as batch, index, closely from unnest(${sql.placeholder('batches')}::uuid[], ${sql.placeholder('indexes')}::bigint[], ${sql.placeholder('closely')}::boolean[])
      with ordinality w(id, index, closely, at) join batches b using (id)`);
  const query = db
    .with(wanted)
    .select({ at: wanted.at, batch: wanted.batch })
    .from(sql`wanted w`)
    .where(
      sql`exists (select from results r where r.batch = w.batch and r.index = w.index) or (w.closely and not (${open}))`,
    )
    .prepare('settled');
  return (items: readonly Awaited[]): Promise<ItemSettled[]> =>
    query.execute({
      batches: list(items.map(({ batch }) => batch)),
      indexes: list(items.map(({ index }) => index)),
      closely: list(items.map(({ closely }) => String(closely))),
    });
}
