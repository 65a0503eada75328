import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list } from '../bind.ts';
import { workers } from '../schema.ts';

/** What a worker says of itself each second; `GET /v1/workers` shows it and the publisher sizes its windows by it. */
export interface WorkerFacts {
  chunksInFlight: number;
  /** Chunks it would hold at once. */
  chunksMax: number;
  /** Chunks it holds beside these, which wait for what limits their batch, or lines that wait for slow items; versions before this one do not say it. */
  chunksAside?: number;
  itemsDone: number;
  itemsPerSecond: number;
  chunksPerSecond: number;
  /** From mark to flush of a chunk, smoothed. */
  turnaroundMs: number;
  /** `redis` is null where the queues are in PostgreSQL. */
  roundTripMs: { redis: number | null; postgres: number };
  /** Items in handlers at once, chunks in hand and flushes in flight are fitted to what it measures; versions before this one do not say it. */
  tuned?: {
    /** Which of them are `auto`; flushes are always. */
    concurrency: boolean;
    chunks: boolean;
    concurrencyMax: number;
    flushesMax: number;
    /** Of an item that answers a promise; 0: there was none. */
    itemMs: number;
  };
  /** Why it has nothing to do with any partition; null, or not said by an older version: it has. */
  idle?: string | null;
  /** 99 of 100 of its timers are at most this late; versions before this one do not say it. */
  lagP99Ms?: number;
  /** The worker that started earlier and has some of its pins; null: its own count. */
  pinsHeldBy?: string | null;
  /** It runs suspects for another worker. */
  isolated?: boolean;
}

export interface Heartbeat {
  /** Chunks that ran under this worker but are not in its hands: they wait again. */
  orphans: number[];
  /** Of the batches in hand, those that do not run any more: stop and flush with the rest. */
  stopped: { no: number; state: 'paused' | 'completed' | 'cancelled' }[];
  /** False: the row of this worker is gone, it was away too long. Register again. */
  known: boolean;
}

/**
 * Heartbeat, each second: renews the worker's row and answers the state of the batches in hand.
 *
 * Repeatable: the row is set, not counted.
 *
 * The orphan rule: a chunk that runs under this worker with a claim id that is not in its hands goes back to `pending`.
 * So a claim or flush whose reply, or whose commit in a server crash, was lost does not leave a chunk running for ever.
 * `claimed_at` older than `orphanMs` keeps out a claim that was sent after this list of claims was made.
 */
export function prepareHeartbeat(db: Database) {
  const worker = sql`${sql.placeholder('worker')}::uuid`;
  const orphaned = sql`state = 'running' and worker = ${worker} and claim <> all(${sql.placeholder('claims')}::uuid[])
    and claimed_at < clock_timestamp() - make_interval(secs => ${sql.placeholder('orphanMs')}::float8 / 1000)`;
  const beat = db.$with('beat', {}).as(sql`
    update ${workers} set seen = clock_timestamp(), facts = ${sql.placeholder('facts')}::text::json where id = ${worker} returning id`);
  const orphans = db.$with('orphans', { no: sql<number>`no` }).as(sql`
    update chunks set state = 'pending', claim = null, worker = null
    where no = any(array(select no from chunks where ${orphaned} order by no for update)) and ${orphaned}
    returning no`);
  const query = db
    .with(beat, orphans)
    .select({
      orphans: sql<number[]>`coalesce((select json_agg(no) from ${orphans}), '[]')`,
      known: sql<boolean>`exists (select from beat)`,
      stopped: sql<
        Heartbeat['stopped']
      >`coalesce((select json_agg(json_build_object('no', no, 'state', state)) from batches where no = any(${sql.placeholder('batches')}::int[]) and state <> 'running'), '[]')`,
    })
    .from(sql`(select 1) one`)
    .prepare('heartbeat');

  return async (request: {
    worker: string;
    claims: readonly string[];
    batches: readonly number[];
    facts: WorkerFacts;
    orphanMs: number;
  }): Promise<Heartbeat> => {
    const [row] = await query.execute({
      ...request,
      claims: list(request.claims),
      batches: list(request.batches),
      facts: JSON.stringify(request.facts),
    });
    return row!;
  };
}
