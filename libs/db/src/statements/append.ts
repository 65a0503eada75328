import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { jsonTexts, list } from '../bind.ts';
import { codeOf } from '../retry.ts';
import { batches, chunks, idempotency, inputs } from '../schema.ts';
import type { NewChunk } from './accept.ts';
import { startPass } from './fair.ts';
import { type Key, keptFor, KeyTaken } from './keys.ts';
import { linesGiven, linesOf } from './lines-given.ts';

/** Owner of the keys that a statement gives itself, so that it may be repeated. */
export const ownKeys = '-';
/** They are needed while somebody tries again. */
export const ownKeysKeptFor = sql`interval '10 minutes'`;

export interface Append {
  /** Id of the batch. */
  batch: string;
  /** Whose key it is. Default ''. */
  owner?: string | undefined;
  /** Made before the first try: it makes the append repeatable. */
  id: string;
  /** Its indexes count from 0. */
  chunks: readonly NewChunk[];
  /** The batch may then have this many items that are not final. */
  unfinishedMax: number;
  key?: Key | undefined;
}

/** Index of the first item, and whether that was known under its key; or why there is none. */
export type Appended =
  | { first: number; known: boolean }
  | { first: null; batch: { sealed: boolean; state: string } | null };

/**
 * Append: more items for an open batch, all or none. The row of the batch numbers them, and those of a keyed batch come after all
 * that stands in their lines.
 *
 * Repeatable: under a key, its own or the client's, the first index is kept. Of two with the same key at once, the second
 * meets the unique index (23505), runs again and finds the answer. Throws KeyTaken where the key is another request's.
 */
export function prepareAppend(db: Database) {
  const id = sql`${sql.placeholder('batch')}::uuid`;
  const owner = sql`${sql.placeholder('owner')}::text`;
  const key = sql`${sql.placeholder('key')}::text`;
  const count = sql`${sql.placeholder('count')}::int`;
  const known = db.$with('known', { batch: idempotency.batch, hash: idempotency.hash, first: idempotency.first })
    .as(sql`
    select batch, hash, first from idempotency where owner = ${owner} and key = ${key} and expires_at > clock_timestamp()`);
  const expired = db.$with('expired', {}).as(sql`
    delete from idempotency where owner = ${owner} and key = ${key} and expires_at <= clock_timestamp() returning 1`);
  const b = db.$with('b', { no: batches.no, at: sql<number>`at`.as('at'), base: batches.base }).as(sql`
    update batches set total = total + ${count},
      pass = case when succeeded + failed = total then greatest(pass, ${startPass(sql`batches.owner`, sql`priority`)}) else pass end
    where id = ${id} and not sealed and kind = 'batch' and state in ('running', 'paused') and not exists (select from known)
      and total - succeeded - failed + ${count} <= ${sql.placeholder('unfinishedMax')}::bigint
    returning no, (total - ${count})::float8 as at, base`);
  const given = db.$with('given', {}).as(sql`
    select b.no, b.base, (b.at + u.first)::bigint as first, u.size, u.items, u.line,
      case when u.indexes is not null then
        array(select b.at::bigint + i from unnest(u.indexes::bigint[]) with ordinality x(i, n) order by n) end as indexes
    from b, unnest(${sql.placeholder('firsts')}::bigint[], ${sql.placeholder('sizes')}::int[],
      string_to_array(${sql.placeholder('items')}::text, E'\\x1f'), ${linesGiven}) u(first, size, items, line, indexes)`);
  const stored = db
    .$with('stored', {})
    .as(sql`insert into ${inputs} (batch, first, indexes, items) select no, first, indexes, items from given`);
  const cut = db.$with('cut', {}).as(sql`
    insert into ${chunks} (batch, first, size, src, line, place)
    select no, first, size, first, line, case when line is not null then base + first end from given`);
  const kept = db.$with('kept', {}).as(sql`
    insert into idempotency (owner, key, hash, batch, first, count, expires_at)
    select ${owner}, ${key}, ${sql.placeholder('hash')}::text, ${id}, at, ${count},
      clock_timestamp() + case when ${owner} = ${sql.raw(`'${ownKeys}'`)} then ${ownKeysKeptFor} else ${keptFor} end
    from b where (select count(*) from expired) >= 0`);
  const query = db
    .with(known, expired, b, given, stored, cut, kept)
    .select({
      at: b.at,
      known: sql<{
        batch: string;
        hash: string | null;
        first: number | null;
      } | null>`(select to_json(known) from known)`,
      batch: sql<{ sealed: boolean; state: string } | null>`(
        select json_build_object('sealed', sealed, 'state', state) from batches where id = ${id} and kind = 'batch')`,
      durable: sql`set_config('synchronous_commit', 'on', true)`,
    })
    .from(sql`(select 1) one`)
    .leftJoin(b, sql`true`)
    .prepare('append');

  return (append: Append): Promise<Appended> =>
    whileKeysCollide(async () => {
      const hash = append.key?.hash ?? null;
      const [row] = await query.execute({
        batch: append.batch,
        owner: append.key === undefined ? ownKeys : (append.owner ?? ''),
        key: append.key?.key ?? append.id,
        hash,
        count: append.chunks.reduce((items, { size }) => items + size, 0),
        unfinishedMax: append.unfinishedMax,
        firsts: list(append.chunks.map(({ first }) => first)),
        sizes: list(append.chunks.map(({ size }) => size)),
        items: jsonTexts(append.chunks.map(({ items }) => items)),
        ...linesOf(append.chunks),
      });
      const { at, known, batch } = row!;
      if (at !== null) return { first: at, known: false };
      if (known === null) return { first: null, batch };
      if (known.batch !== append.batch || known.hash !== hash || known.first === null) throw new KeyTaken(known);
      return { first: known.first, known: true };
    });
}

/** Runs a statement again whose new key met the same one of another that was not committed when it looked. */
export async function whileKeysCollide<Answer>(run: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await run();
    } catch (error) {
      if (codeOf(error) !== '23505' || tries === 5) throw error;
    }
  }
}
