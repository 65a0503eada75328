import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list } from '../bind.ts';

/** What a row of `limits` holds; null: any number. */
export interface Limit {
  name: string;
  /** So many slots in `perMs`. */
  rate: number | null;
  perMs: number | null;
  /** Items in handlers at once. */
  concurrency: number | null;
  /** Nobody gets a slot for so long. */
  pausedMs: number;
  /** Of a batch: slots that one of its items takes. */
  cost: number;
}

export const batchLimit = (no: number): string => `batch:${no}`;
export const handlerLimit = (handler: string): string => `handler:${handler}`;

/** What of a limited batch may be queued or running: as many items as it may start in this time. */
const flightMs = sql.raw('2000');

/** Slots of a limit, and items under its permits, that may be queued or running; of the latter two chunks more. `of`: its row. */
export const slotsMax = (of: SQL): SQL => sql`${flightMs}::float8 * ${of}.rate / ${of}.per_ms`;
export const itemsMax = (of: SQL): SQL => sql`2.0 * ${of}.concurrency`;
/** Slots that one item takes, by the `options` of its batch. */
export const costOf = (options: SQL): SQL => sql`coalesce((${options} -> 'rateLimit' ->> 'cost')::int, 1)`;

/**
 * The columns of a limit as `options`, a json, says them. `cost` and no `rate`: an item takes so many slots of its handler's limit.
 */
export const limitOf = (options: SQL): SQL => sql`
  select (o -> 'rateLimit' ->> 'limit')::int as rate, (o -> 'rateLimit' ->> 'perMs')::int as per_ms,
    ${costOf(sql`o`)} as cost, (o ->> 'concurrency')::int as concurrency
  from (select ${options} as o) given`;

/**
 * `batches.flight_max`: items that may be queued or running at once where something limits them, at least one; null: any number. For a
 * select with `l`, the batch's own limit as `limitOf` makes it, and `h`, its handler's as a row of `limits`, which may be missing. Of
 * a limit of `concurrency` twice as many, and two chunks of the size `chunk`: while the rest of one is on its way back the other runs.
 */
export function flightMax(chunk: SQL): SQL {
  const most = (of: SQL): SQL => sql`ceil(${slotsMax(of)} / l.cost), ${itemsMax(of)} + 2 * ${chunk}`;
  const least = sql`least(${most(sql`l`)}, ${most(sql`h`)})`;
  return sql`case when ${least} is not null then greatest(1, least(${least}, 2147483647))::int end`;
}

/** Adds the limit of a batch that has just come; `from` has its number as `no`, `limit` what `limitOf` says. */
export const addLimit = (from: string, limit: string, where: SQL): SQL => sql`
  insert into limits (name, rate, per_ms, concurrency)
  select 'batch:' || b.no, l.rate, l.per_ms, l.concurrency from ${sql.raw(from)} b, ${sql.raw(limit)} l
  where (l.rate is not null or l.concurrency is not null) and ${where}`;

/** Limits: those of these names that are there. A read. */
export function prepareLimits(db: Database) {
  const query = db
    .select({
      name: sql<string>`name`,
      rate: sql<number | null>`rate`,
      perMs: sql<number | null>`per_ms`,
      concurrency: sql<number | null>`concurrency`,
      cost: sql<number>`coalesce((
        select ${costOf(sql`b.options`)} from batches b where limits.name like 'batch:%' and b.no = substr(limits.name, 7)::int), 1)`,
      pausedMs: sql<number>`greatest(0, coalesce(extract(epoch from paused_until - clock_timestamp())::float8 * 1000, 0))`,
    })
    .from(sql`limits`)
    .where(sql`name = any(${sql.placeholder('names')}::text[])`)
    .prepare('limits');
  return (names: readonly string[]): Promise<Limit[]> => query.execute({ names: list(names) });
}
