import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { batches, chunks, workers } from '../schema.ts';
import type { Claimed } from './claim.ts';

/** A chunk in a worker's hands, as its watchdog sees it: the inputs without their texts. */
export interface Holding extends Claimed {
  claim: string;
  options: Record<string, unknown>;
  /** Of a keyed batch: it stands in this line. */
  line: number | null;
}

/**
 * Holding: a chunk that runs under a worker, or null. A read: for the watchdog, when the main loop does not answer.
 */
export function prepareHolding(db: Database) {
  const query = db
    .select({
      no: chunks.no,
      batch: chunks.batch,
      first: chunks.first,
      size: chunks.size,
      picks: chunks.picks,
      attempt: chunks.attempt,
      crashes: chunks.crashes,
      format: chunks.format,
      taken: sql<boolean>`true`,
      srcs: sql<number[]>`to_json(array_remove(coalesce(${chunks.srcs}, array[${chunks.src}]), null))`,
      claim: sql<string>`${chunks.claim}`,
      options: sql<Record<string, unknown>>`${batches.options}`,
      line: chunks.line,
    })
    .from(chunks)
    .innerJoin(batches, sql`${batches.no} = ${chunks.batch}`)
    .where(
      sql`${chunks.no} = ${sql.placeholder('no')} and ${chunks.worker} = ${sql.placeholder('worker')}::uuid and ${chunks.state} = 'running'`,
    )
    .prepare('holding');
  return async (request: { worker: string; no: number }): Promise<Holding | null> => {
    const [row] = await query.execute(request);
    if (row === undefined) return null;
    const { srcs, ...holding } = row;
    return { ...holding, inputs: srcs.map((first) => ({ first, items: '' })) };
  };
}

/**
 * Stay: a worker whose main loop is busy in a handler is there all the same: it keeps its chunks, partitions and permits.
 *
 * Repeatable: it sets what should be so. A worker whose row is gone gets nothing back.
 */
export function prepareStay(db: Database) {
  const worker = sql`${sql.placeholder('worker')}::uuid`;
  const seen = db.$with('seen', { id: workers.id }).as(sql`
    update workers set seen = clock_timestamp() where id = ${worker} returning id`);
  const kept = db.$with('kept', {}).as(sql`
    update partitions set expires_at = clock_timestamp() + make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)
    where owner = ${worker} and exists (select from seen)`);
  const held = db.$with('held', {}).as(sql`
    update permits set seen = clock_timestamp() where worker = ${worker} and exists (select from seen)`);
  const query = db.with(seen, kept, held).select({ id: seen.id }).from(seen).prepare('stay');
  return async (request: { worker: string; leaseMs: number }): Promise<void> => void (await query.execute(request));
}
