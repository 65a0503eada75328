import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list, names } from '../bind.ts';
import { batches, chunks } from '../schema.ts';
import { hasBegun } from './brakes.ts';
import type { Marked } from './mark.ts';

/**
 * Mark of lines: takes lines that wait for a worker, and makes the first chunk that waits in each `queued`; the caller then adds
 * its job, which is the turn of that line: the owner of the partition claims as much of it as it can hold (claim-line.ts). A line whose
 * head is queued or running has its turn already.
 *
 * Repeatable: a second run takes others. What was marked and never added is found by `lost`. A line that is marked twice, in the
 * moment between two rows of its hand, has one turn: the worker that has it takes the second job as a word that there is more.
 *
 * Lines of a partition by the `pass` of their batches, which moves with what is settled (count-outcomes.ts): how much of a line its turn
 * will do, nobody knows here. Each partition with room walks through them until it is full: one probe of an index for a batch whose line
 * there is in a hand, or that has none there, two for one that is taken. However many there are of the former, they keep nobody out. 1 000
 * keyed batches: 8 ms; 11–22 where each is looked at for each of 12 partitions, and nothing is to be had.
 */
export function prepareMarkLines(db: Database) {
  const exclusive = db
    .$with('exclusive', { ok: sql<boolean>`ok` })
    .as(sql`select pg_try_advisory_xact_lock(hashtext('bullpen mark')) as ok`);
  const room = db.$with('room', {}).as(sql`
    select no, count(*) as room from unnest(${sql.placeholder('slots')}::smallint[]) s(no) group by no`);
  const waits = sql`c.line is not null and c.state = 'pending' and c.not_before is null`;
  const first = db.$with('first', {}).as(sql`
    with next as materialized (
      select b.no, greatest(b.pass, o.virtual) as pass from exclusive cross join batches b join owners o using (owner)
      where exclusive.ok and b.state = 'running' and b.keyed and ${hasBegun} and b.handler = any(${sql.placeholder('handlers')}::text[])
        and exists (select from chunks c where c.batch = b.no and ${waits})
      order by greatest(b.pass, o.virtual), b.no)
    select w.no from room r cross join lateral (
      select w.no from next b
      cross join lateral (
        select c.state, c.place from chunks c where c.batch = b.no and c.line = r.no and c.line is not null and c.state <> 'done' order by c.place limit 1) head
      cross join lateral (
        select c.no from chunks c where c.batch = b.no and c.line = r.no and c.place >= head.place and ${waits} order by c.place limit 1) w
      where head.state = 'pending' order by b.pass, b.no limit r.room) w limit ${sql.placeholder('most')}::int`);
  const marked = db.$with('marked', {
    no: chunks.no,
    generation: chunks.generation,
    partition: chunks.partition,
    size: chunks.size,
    batch: chunks.batch,
  }).as(sql`
    update chunks c set state = 'queued', generation = generation + 1, queued_at = clock_timestamp(), partition = line
    where c.no = any(array(select no from first order by no)) and c.state = 'pending'
    returning c.no, c.generation, c.partition, c.size, c.batch`);
  const started = db.$with('started', {}).as(sql`
    update batches set started_at = clock_timestamp()
    where no = any(array(select no from batches where started_at is null and no = any(array(select distinct batch from marked)) order by no for no key update))`);
  // Where nothing but lines is served; else mark.ts knows what is. Of those that wait: what is in hands may be held back by a limit.
  const owned = db.$with('owned', {}).as(sql`
    update owners o set virtual = greatest(o.virtual, l.pass)
    from (
      select owner, min(pass) as pass from batches b where state = 'running' and keyed and handler = any(${sql.placeholder('handlers')}::text[])
        and exists (select from chunks c where c.batch = b.no and ${waits}) group by owner) l
    where l.owner = o.owner and (select ok from exclusive)
      and not exists (select from batches where state = 'running' and not keyed and succeeded + failed < total)`);
  const query = db
    .with(exclusive, room, first, marked, started, owned)
    .select({
      no: marked.no,
      generation: marked.generation,
      partition: sql<number>`${marked.partition}`,
      size: marked.size,
      tag: sql<number>`(select i.virtual + greatest(0, ${batches.pass} - o.virtual) from installation i, owners o where o.owner = ${batches.owner})`,
      ahead: sql<boolean>`false`,
      batch: { no: batches.no, id: batches.id, handler: batches.handler },
      keyed: sql<boolean>`true`,
    })
    .from(marked)
    .innerJoin(batches, sql`${batches.no} = ${marked.batch}`)
    .prepare('mark_lines');

  /** `slots`: a partition for each line that may be taken, `most` of all. `handlers`: those that the owners of these partitions know. */
  return (room: { handlers: readonly string[]; slots: readonly number[]; most: number }): Promise<Marked[]> =>
    query.execute({ handlers: names(room.handlers), slots: list(room.slots), most: room.most });
}
