import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list, names } from '../bind.ts';
import { chunks, inputs } from '../schema.ts';

export interface Claimed {
  no: number;
  batch: number;
  first: number;
  size: number;
  src: number | null;
  picks: number[] | null;
  attempt: number;
  format: number;
  /** Text of a JSON array; element 0 is item `src`. Null in a count batch. */
  items: string | null;
}

/**
 * Claim: a worker takes queued chunks, many in one statement, under a claim id that it made for this statement.
 *
 * Repeatable under the same claim id: what it already took is answered again. Whoever comes second gets no row.
 *
 * A chunk whose batch does not run, or whose handler the worker does not have, goes back to `pending` in the same
 * statement. Ids are locked in order, so that two claims cannot deadlock. Inputs come along: no other read is needed.
 */
export function prepareClaim(db: Database) {
  const claim = sql`${sql.placeholder('claim')}::uuid`;
  const asked = db.$with('asked', { no: chunks.no, ok: sql<boolean>`ok` }).as(sql`
    select c.no, b.state = 'running' and b.handler = any(${sql.placeholder('handlers')}::text[]) as ok
    from chunks c join batches b on b.no = c.batch
    where c.no = any(${sql.placeholder('nos')}::bigint[]) and (c.state = 'queued' or (c.state = 'running' and c.claim = ${claim}))
    order by c.no for update of c`);
  const taken = db
    .$with('taken', {
      no: chunks.no, batch: chunks.batch, first: chunks.first, size: chunks.size, src: chunks.src,
      picks: chunks.picks, attempt: chunks.attempt, format: chunks.format, state: chunks.state,
    }) // prettier-ignore
    .as(sql`
      update chunks c set state = case when a.ok then 'running' else 'pending' end,
        claim = case when a.ok then ${claim} end,
        worker = case when a.ok then ${sql.placeholder('worker')}::uuid end,
        claimed_at = clock_timestamp()
      from asked a where c.no = a.no
      returning c.no, c.batch, c.first, c.size, c.src, c.picks, c.attempt, c.format, c.state`);
  const query = db
    .with(asked, taken)
    .select({
      no: taken.no,
      batch: taken.batch,
      first: taken.first,
      size: taken.size,
      src: taken.src,
      picks: taken.picks,
      attempt: taken.attempt,
      format: taken.format,
      items: inputs.items,
    }) // prettier-ignore
    .from(taken)
    .leftJoin(inputs, sql`${inputs.batch} = ${taken.batch} and ${inputs.first} = ${taken.src}`)
    .where(sql`${taken.state} = 'running'`)
    .prepare('claim');

  return (request: {
    nos: readonly number[];
    claim: string;
    worker: string;
    handlers: readonly string[];
  }): Promise<Claimed[]> => query.execute({ ...request, nos: list(request.nos), handlers: names(request.handlers) });
}
