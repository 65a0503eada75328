import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list } from '../bind.ts';

/** An item whose end somebody waits for. */
export interface Awaited {
  /** Id of its batch. */
  batch: string;
  index: number;
  /** Look also whether it was acknowledged without a result, which takes longer. */
  closely: boolean;
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
      select first, size, picks from chunks c where c.batch = w.batch and c.state = 'pending' and c.not_before is null
      union all select first, size, picks from chunks c where c.batch = w.batch and c.state = 'running'
      union all select first, size, picks from chunks c where c.batch = w.batch and c.state = 'queued'
      union all select first, size, picks from chunks c where c.batch = w.batch and c.state = 'pending' and c.not_before is not null) c
    where case when c.picks is null then w.index >= c.first and w.index < c.first + c.size else w.index = any(c.picks) end)`;
  const wanted = db.$with('wanted', { at: sql<number>`at`.as('at') }).as(sql`
    select at::int as at, b.no as batch, index, closely from unnest(${sql.placeholder('batches')}::uuid[], ${sql.placeholder('indexes')}::int[], ${sql.placeholder('closely')}::boolean[])
      with ordinality w(id, index, closely, at) join batches b using (id)`);
  const query = db
    .with(wanted)
    .select({ at: wanted.at })
    .from(sql`wanted w`)
    .where(
      sql`exists (select from results r where r.batch = w.batch and r.index = w.index) or (w.closely and not ${open})`,
    )
    .prepare('settled');
  return async (items: readonly Awaited[]): Promise<number[]> => {
    const rows = await query.execute({
      batches: list(items.map(({ batch }) => batch)),
      indexes: list(items.map(({ index }) => index)),
      closely: list(items.map(({ closely }) => String(closely))),
    });
    return rows.map(({ at }) => at - 1);
  };
}
