import { eq, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { workers } from '../schema.ts';
import type { WorkerFacts } from './heartbeat.ts';

export interface NewWorker {
  /** A new uuid each start. */
  id: string;
  name: string;
  host: string;
  pid: number;
  handlers: readonly string[];
  concurrency: number;
  facts: WorkerFacts;
  /** Partitions it asks for by itself; null: it takes its fair share. */
  pins?: readonly number[] | null;
  /** It runs suspects for another worker: it takes no partition, counts for no share, and no list shows it. */
  isolated?: boolean;
}

/**
 * Register: a worker says that it is there, before its first claim. Also run when a heartbeat finds the row gone.
 *
 * Repeatable: the id is new each start; a second run sets the same row.
 */
export function prepareRegister(db: Database) {
  return async ({ isolated = false, ...worker }: NewWorker): Promise<void> => {
    const values = {
      ...worker,
      draining: isolated,
      handlers: [...worker.handlers],
      pins: worker.pins ? [...worker.pins] : null,
    };
    await db
      .insert(workers)
      .values(values)
      .onConflictDoUpdate({ target: workers.id, set: { seen: sql`clock_timestamp()` } });
  };
}

/**
 * Retire: a worker that drains counts as live for no share any more, and helps nobody. It keeps its partitions until
 * each is drained (`own` gives them back), but the chunks that wait in their queues go to others at once: a drain takes
 * as long as the longest item.
 *
 * Repeatable: it sets what should be so. A job whose chunk went elsewhere meets a claim that refuses it.
 */
export function prepareRetire(db: Database) {
  const id = sql`${sql.placeholder('worker')}::uuid`;
  const waiting = sql`state = 'queued' and partition = any(array(select no from partitions where owner = ${id}))`;
  const handed = db.$with('handed', {}).as(sql`
    update chunks set state = 'pending'
    where no = any(array(select no from chunks where ${waiting} order by no for update)) and state = 'queued'`);
  const retired = db
    .$with('retired', { id: workers.id })
    .as(sql`update workers set draining = true, helping = null where id = ${id} returning id`);
  const query = db.with(handed, retired).select({ id: retired.id }).from(retired).prepare('retire');
  return async (worker: string): Promise<void> => void (await query.execute({ worker }));
}

/**
 * Leave: the last word of a worker that has drained. Nothing runs under it any more.
 *
 * Repeatable: a second run finds no row.
 */
export function prepareLeave(db: Database) {
  const query = db
    .delete(workers)
    .where(eq(workers.id, sql.placeholder('worker')))
    .prepare('leave');
  return async (worker: string): Promise<void> => void (await query.execute({ worker }));
}
