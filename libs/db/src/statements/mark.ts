import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list, names } from '../bind.ts';
import { batches, chunks } from '../schema.ts';

export interface Marked {
  no: number;
  generation: number;
  partition: number;
  size: number;
  batch: { no: number; id: string; handler: string };
  /** It stands for its line (mark-lines.ts). */
  keyed?: boolean;
}

/**
 * Mark: takes chunks that wait, binds each to a partition and makes it `queued`; the caller then adds the jobs.
 *
 * Repeatable: a second run takes others. What was marked and never added is found by `lost`.
 *
 * Running batches in the order of `pass`, the `each` first chunks of each, until the `slots` are full or `itemsMax`
 * items are taken; then `pass` of each batch goes up by what it got over its weight. Ordering batches instead of chunks
 * takes 5 ms with 1 000 batches × 1 000 chunks; the obvious forms took 100–390 ms. `limit greatest(…)` and
 * `update … from pick` turned 4.5 ms into 350–750 ms, hence the arrays.
 *
 * Only one mark runs at a time: the lock is tried inside the statement, so any producer may publish right after its
 * accept, and who comes second gets nothing.
 */
export function prepareMark(db: Database) {
  const slots = sql`${sql.placeholder('slots')}::smallint[]`;
  const exclusive = db
    .$with('exclusive', { ok: sql<boolean>`ok` })
    .as(sql`select pg_try_advisory_xact_lock(hashtext('bullpen mark')) as ok`);
  const pick = db.$with('pick', { no: chunks.no, size: chunks.size, rank: sql<number>`rank` }).as(sql`
    select c.no, c.size, row_number() over () as rank
    from exclusive
    cross join lateral (
      select no, pass from batches
      where state = 'running' and handler = any(${sql.placeholder('handlers')}::text[]) order by pass, no) b
    cross join lateral (
      select no, size from chunks c
      where c.batch = b.no and c.state = 'pending' and c.not_before is null and c.line is null
      order by c.first limit ${sql.placeholder('each')}::int for update skip locked) c
    where exclusive.ok
    limit cardinality(${slots})`);
  const fit = db.$with('fit', { nos: sql<number[]>`nos` }).as(sql`
    select array_agg(no order by rank) as nos
    from (select no, rank, sum(size) over (order by rank) - size as before from pick) p
    where before < ${sql.placeholder('itemsMax')}::bigint`);
  const marked = db.$with('marked', {
    no: chunks.no,
    generation: chunks.generation,
    partition: chunks.partition,
    size: chunks.size,
    batch: chunks.batch,
  }).as(sql`
      update chunks c set state = 'queued', generation = generation + 1, queued_at = clock_timestamp(),
        partition = (${slots})[array_position((select nos from fit), c.no)]
      where c.no = any(array(select unnest(nos) from fit))
      returning c.no, c.generation, c.partition, c.size, c.batch`);
  const locked = db.$with('locked', {}).as(sql`
    select no from batches where no = any(array(select distinct batch from marked)) order by no for no key update`);
  const passed = db.$with('passed', {}).as(sql`
    update batches b set pass = b.pass + x.n / b.weight::float8, started_at = coalesce(b.started_at, clock_timestamp())
    from (select batch, count(*) as n from marked group by batch) x
    where b.no = x.batch and b.no = any(array(select no from locked))`);
  const query = db
    .with(exclusive, pick, fit, marked, locked, passed)
    .select({
      no: marked.no,
      generation: marked.generation,
      partition: sql<number>`${marked.partition}`,
      size: marked.size,
      batch: { no: batches.no, id: batches.id, handler: batches.handler },
    })
    .from(marked)
    .innerJoin(batches, sql`${batches.no} = ${marked.batch}`)
    .prepare('mark');

  /** `slots`: the partition of each chunk that may be taken, in order of preference. `handlers`: those that the owners of these partitions know. */
  return (room: {
    handlers: readonly string[];
    slots: readonly number[];
    each: number;
    itemsMax: number;
  }): Promise<Marked[]> => query.execute({ ...room, handlers: names(room.handlers), slots: list(room.slots) });
}
