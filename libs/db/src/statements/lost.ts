import { asc, eq, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list } from '../bind.ts';
import { chunks, partitions } from '../schema.ts';

export interface Queued {
  no: number;
  generation: number;
  partition: number;
  /** No worker that owns the partition now can have taken the job: it changed hands since, or nobody owns it. */
  orphaned: boolean;
  /** Nobody has owned the partition for a second: nobody will take the job soon. */
  ownerless: boolean;
}

/**
 * Queued: chunks that have stood in BullMQ for `ageMs`, oldest first, at most 1 000. The caller asks BullMQ for each.
 *
 * A read.
 */
export function prepareQueued(db: Database) {
  const query = db
    .select({
      no: chunks.no,
      generation: chunks.generation,
      partition: sql<number>`${chunks.partition}`,
      orphaned: sql<boolean>`coalesce(${partitions.expiresAt} < clock_timestamp() or ${partitions.takenAt} > ${chunks.queuedAt}, true)`,
      ownerless: sql<boolean>`coalesce(${partitions.expiresAt} < clock_timestamp() - interval '1 second', true)`,
    })
    .from(chunks)
    .innerJoin(partitions, eq(partitions.no, chunks.partition))
    .where(
      sql`${chunks.state} = 'queued'
        and ${chunks.queuedAt} < statement_timestamp() - make_interval(secs => ${sql.placeholder('ageMs')}::float8 / 1000)`,
    )
    .orderBy(asc(chunks.queuedAt))
    .limit(1000)
    .prepare('queued');
  return (request: { ageMs: number }): Promise<Queued[]> => query.execute(request);
}

/**
 * Lost: chunks that are queued here, but whose job of this generation is neither waiting nor active in BullMQ, wait again.
 * Also said of jobs that could not be added, and by a worker of jobs that it hands back.
 *
 * Repeatable: the generation tells a chunk that was marked anew since. Answers those that were put back.
 *
 * By its number (`any`), and not by the index of all that are queued (`|| ''`), which holds the dead ones too.
 */
export function prepareLost(db: Database) {
  const nos = sql`${sql.placeholder('nos')}::bigint[]`;
  const lost = db.$with('lost', { no: chunks.no, size: chunks.size }).as(sql`
    update chunks c set state = 'pending'
    from unnest(${nos}, ${sql.placeholder('generations')}::int[]) u(no, generation)
    where c.no = any(${nos}) and c.no = u.no and c.generation = u.generation and c.state || '' = 'queued' returning c.no, c.size`);
  const query = db.with(lost).select({ no: lost.no, size: lost.size }).from(lost).prepare('lost');
  return (jobs: readonly { no: number; generation: number }[]): Promise<{ no: number; size: number }[]> => {
    const sorted = [...jobs].sort((a, b) => a.no - b.no);
    return query.execute({
      nos: list(sorted.map((job) => job.no)),
      generations: list(sorted.map((job) => job.generation)),
    });
  };
}
