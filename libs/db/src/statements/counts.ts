import { and, desc, eq, inArray, lt, type SQL, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list } from '../bind.ts';
import { batches } from '../schema.ts';
import { unfoldedMax, unfoldedMaxBytes } from './fold.ts';
import { type WebhookState, webhookState } from './tell.ts';

export type BatchState = 'running' | 'paused' | 'completed' | 'cancelled';

/** A batch as one snapshot saw it: `succeeded + failed + running ≤ total` at every read; what is missing waits. */
export interface BatchRow {
  no: number;
  id: string;
  /** Whose it is; '' of the time without keys, and of keys without an owner. */
  owner: string;
  kind: 'batch' | 'jobs';
  name: string | null;
  handler: string;
  state: BatchState;
  reason: 'user' | 'max-failures' | 'canary' | null;
  sealed: boolean;
  total: number;
  succeeded: number;
  failed: number;
  running: number;
  params: unknown;
  options: unknown;
  createdAt: Date;
  startedAt: Date | null;
  finishedAt: Date | null;
  webhook: WebhookState | null;
}

/** What of a batch moves while it runs. */
export type ProgressRow = Pick<
  BatchRow,
  'id' | 'state' | 'reason' | 'total' | 'succeeded' | 'failed' | 'running' | 'startedAt' | 'finishedAt'
>;

const progressColumns = {
  id: batches.id, state: batches.state, reason: batches.reason, total: batches.total, succeeded: batches.succeeded,
  failed: batches.failed, startedAt: batches.startedAt, finishedAt: batches.finishedAt,
  // Every flush locks the batch row last, so one snapshot never counts an item as running and as done.
  running: sql<number>`coalesce((select sum(c.size)::float8 from chunks c where c.batch = batches.no and c.state = 'running'), 0)`,
}; // prettier-ignore

const columns = {
  ...progressColumns,
  no: batches.no, owner: batches.owner, kind: batches.kind, name: batches.name, handler: batches.handler, sealed: batches.sealed,
  params: batches.params, options: batches.options, createdAt: batches.createdAt,
  webhook: webhookState,
}; // prettier-ignore

/**
 * Counts: a batch by its id with the sum of its running chunks, in 0.13 ms. A read. Null where there is none.
 */
export function prepareCounts(db: Database) {
  const query = db
    .select(columns)
    .from(batches)
    .where(eq(batches.id, sql.placeholder('id')))
    .prepare('counts');
  return async (id: string): Promise<BatchRow | null> => ((await query.execute({ id }))[0] as BatchRow) ?? null;
}

/** Progress: many batches at once, each as one snapshot saw it. A read. What does not exist is left out. */
export function prepareProgress(db: Database) {
  const query = db
    .select(progressColumns)
    .from(batches)
    .where(sql`${batches.id} = any(${sql.placeholder('ids')}::uuid[])`)
    .prepare('progress');
  return (ids: readonly string[]): Promise<ProgressRow[]> => query.execute({ ids: list(ids) });
}

/** A batch and what was reduced of it, as one snapshot saw both. */
export interface ReducedRow extends BatchRow {
  /** JSON text; null where nothing was folded. */
  folded: string | null;
  /** JSON texts of what is not folded yet; null where that is too much to read: fold first. */
  partials: string[] | null;
}

/**
 * Reduced: a batch by its id with what was folded of it and the partials that wait. A read. Null where there is none.
 *
 * One snapshot: a flush writes its partials with the counts and a fold moves them in one statement, so a batch that is
 * seen as completed is seen with all of its summary, and while it runs the summary is that of the counts beside it.
 */
export function prepareReduced(db: Database) {
  const query = db
    .select({
      ...columns,
      folded: sql<string | null>`(select s.folded::text from summaries s where s.batch = batches.no)`,
      partials: sql<string[] | null>`(
        select case when count(*) <= ${sql.raw(String(unfoldedMax))} and coalesce(sum(octet_length(text)), 0) <= ${sql.raw(String(unfoldedMaxBytes))}
          then coalesce(json_agg(text), '[]') end
        from (select p.partial::text from partials p where p.batch = batches.no limit ${sql.raw(String(unfoldedMax + 1))}) w(text))`,
    })
    .from(batches)
    .where(eq(batches.id, sql.placeholder('id')))
    .prepare('reduced');
  return async (id: string): Promise<ReducedRow | null> => ((await query.execute({ id }))[0] as ReducedRow) ?? null;
}

export interface BatchFilter {
  owner: string;
  kind: 'batch' | 'jobs';
  state?: BatchState | undefined;
  handler?: string | undefined;
  /** Only batches older than the one with this id. */
  before?: string | undefined;
  limit: number;
}

/**
 * Batches, newest first: ids sort by time, numbers of ranges of their own do not. A read.
 *
 * Not prepared: it differs by its filters, and is not on the path of a job.
 */
export function prepareBatches(db: Database) {
  return async (filter: BatchFilter): Promise<BatchRow[]> => {
    const conditions: SQL[] = [eq(batches.owner, filter.owner), eq(batches.kind, filter.kind)];
    if (filter.state) conditions.push(eq(batches.state, filter.state));
    if (filter.handler) conditions.push(eq(batches.handler, filter.handler));
    if (filter.before !== undefined) conditions.push(lt(batches.id, filter.before));
    const query = db
      .select(columns)
      .from(batches)
      .where(and(...conditions))
      .orderBy(desc(batches.id))
      .limit(filter.limit);
    return query;
  };
}

/** Ended: which of these batches have completed or were cancelled. A read, for callers that wait. */
export function prepareEnded(db: Database) {
  const query = db
    .select({ id: batches.id })
    .from(batches)
    .where(
      and(
        sql`${batches.id} = any(${sql.placeholder('ids')}::uuid[])`,
        inArray(batches.state, ['completed', 'cancelled']),
      ),
    )
    .prepare('ended');
  return async (ids: readonly string[]): Promise<string[]> =>
    (await query.execute({ ids: list(ids) })).map((row) => row.id);
}

/** What a worker needs to run items of a batch; read once per worker and batch. */
export interface BatchPlan {
  no: number;
  id: string;
  handler: string;
  params: unknown;
  options: Record<string, unknown>;
  /** Since it came. */
  ageMs: number;
}

/** Plan: a batch by its number. A read. */
export function preparePlan(db: Database) {
  const query = db
    .select({
      no: batches.no,
      id: batches.id,
      handler: batches.handler,
      params: batches.params,
      options: batches.options,
      ageMs: sql<number>`extract(epoch from clock_timestamp() - ${batches.createdAt})::float8 * 1000`,
    })
    .from(batches)
    .where(eq(batches.no, sql.placeholder('no')))
    .prepare('plan');
  return async (no: number): Promise<BatchPlan | null> => ((await query.execute({ no }))[0] as BatchPlan) ?? null;
}
