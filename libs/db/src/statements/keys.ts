import { and, eq, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { idempotency } from '../schema.ts';

/** An Idempotency-Key and the hash of the request that it came with. It is one key of each owner. */
export interface Key {
  key: string;
  hash: string;
}

/** What is known under a key. */
export interface Receipt {
  /** Id of the batch. */
  batch: string;
  /** Null: the request that came first is still being read. */
  hash: string | null;
  /** Of an append. */
  first: number | null;
}

/** The key stands for another request than this: one that came before, or at the same time. */
export class KeyTaken extends Error {
  readonly receipt: Receipt;
  constructor(receipt: Receipt) {
    super('this key was used before');
    this.receipt = receipt;
  }
}

/** Receipt: what is known under a key of an owner, null where there is nothing. A read. */
export function prepareReceipt(db: Database) {
  const query = db
    .select({ batch: idempotency.batch, hash: idempotency.hash, first: idempotency.first })
    .from(idempotency)
    .where(
      and(
        eq(idempotency.owner, sql.placeholder('owner')),
        eq(idempotency.key, sql.placeholder('key')),
        sql`${idempotency.expiresAt} > clock_timestamp()`,
      ),
    )
    .prepare('receipt');
  return async (owned: { owner: string; key: string }): Promise<Receipt | null> =>
    (await query.execute(owned))[0] ?? null;
}

/** How long an answer is kept. */
export const keptFor = sql`interval '24 hours'`;

/**
 * The row of a key as CTE `k` of a statement that makes the batch `id`: the batch is this one's where the key was free,
 * else that of the request that came first. Two at once: the unique index makes the second wait for the first's commit.
 *
 * Repeatable: a second run finds its own row.
 */
export function keyRow(db: Database, given: { upload: boolean }) {
  const free = sql`idempotency.expires_at < clock_timestamp()`;
  const upload = given.upload ? sql`(select no from upload)` : sql`null::int`;
  const keep = given.upload ? sql`make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)` : keptFor;
  const hash = given.upload ? sql`null` : sql`${sql.placeholder('hash')}::text`;
  const set = (name: string) =>
    sql`${sql.raw(name)} = case when ${free} then excluded.${sql.raw(name)} else idempotency.${sql.raw(name)} end`;
  return db.$with('k', { batch: idempotency.batch, hash: idempotency.hash }).as(sql`
    insert into idempotency (owner, key, hash, batch, upload, expires_at)
    select ${sql.placeholder('owner')}::text, ${sql.placeholder('key')}::text, ${hash}, ${sql.placeholder('id')}::uuid, ${upload}, clock_timestamp() + ${keep}
    where ${sql.placeholder('key')}::text is not null
    on conflict (owner, key) do update set ${set('hash')}, ${set('batch')}, ${set('upload')}, ${set('expires_at')},
      first = case when ${free} then null else idempotency.first end, count = case when ${free} then null else idempotency.count end
    returning batch, hash`);
}

/** The batch of this statement may be made: there is no key, or the key is its own. */
export const keyIsMine = sql`(${sql.placeholder('key')}::text is null or exists (select from k where k.batch = ${sql.placeholder('id')}::uuid))`;

/** Throws KeyTaken where `k` says that the key is another's. */
export function refuseTaken(row: { batch: string | null; hash: string | null } | undefined, id: string): void {
  if (row?.batch == null || row.batch === id) return;
  throw new KeyTaken({ batch: row.batch, hash: row.hash, first: null });
}
