import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { jsonTexts, list } from '../bind.ts';
import { batches } from '../schema.ts';
import { prepareExtended } from './extend.ts';
import { type Key, keyIsMine, keyRow, refuseTaken } from './keys.ts';

/** What both forms say of a batch. */
export interface NewBatch {
  /** UUID v7, made by the caller before its first try. */
  id: string;
  name: string | null;
  handler: string;
  total: number;
  /** JSON text, or null. */
  params: string | null;
  /** JSON text. */
  options: string;
  /** More items may come. Default false. */
  open?: boolean;
  /** Throws KeyTaken where it is another request's. */
  key?: Key | undefined;
}

/** Some items as they will be stored: `items` is the text of a JSON array of `size` elements, `first` its first index. */
export interface NewChunk {
  first: number;
  size: number;
  items: string;
}

/**
 * Accept: a batch and its chunks in one statement; what is answered 2xx is this commit, which waits for the disk
 * whatever the session says.
 *
 * Repeatable: the batch's id is made before the first try. A second run meets the id, inserts no chunks and answers
 * the same number. A request that comes twice has the same key instead (keys.ts).
 *
 * A new batch starts at the smallest `pass` of those that run: it is next, and gets nothing for the time in which it
 * did not exist.
 */
export function prepareAccept(db: Database) {
  const total = sql`${sql.placeholder('total')}::int`;
  const size = sql`${sql.placeholder('size')}::int`;
  const counted = statement(db, 'accept_count', {
    c: sql`
      insert into chunks (batch, first, size)
      select b.no, k * ${size}, least(${size}, ${total} - k * ${size})
      from b, generate_series(0, (${total} - 1) / ${size}) k where b.fresh`,
  });
  const given = statement(db, 'accept_inputs', {
    u: sql`
      select * from unnest(${sql.placeholder('firsts')}::int[], ${sql.placeholder('sizes')}::int[],
        string_to_array(${sql.placeholder('items')}::text, E'\\x1f')) u(first, size, items)`,
    i: sql`insert into inputs (batch, first, items) select b.no, u.first, u.items from b, u where b.fresh`,
    c: sql`insert into chunks (batch, first, size, src) select b.no, u.first, u.size, u.first from b, u where b.fresh`,
  });
  const extended = prepareExtended(db);
  return {
    /** `total` items without inputs of their own, in chunks of `size`. Answers the batch's number. */
    acceptCount: (batch: NewBatch, size: number): Promise<number> =>
      extended(async () => numberOf(await counted.execute({ ...bound(batch), size }), batch)),
    /** Items with inputs. Answers the batch's number. */
    acceptInputs: (batch: NewBatch, chunks: readonly NewChunk[]): Promise<number> =>
      extended(async () => {
        const firsts = list(chunks.map((chunk) => chunk.first));
        const sizes = list(chunks.map((chunk) => chunk.size));
        const items = jsonTexts(chunks.map((chunk) => chunk.items));
        return numberOf(await given.execute({ ...bound(batch), firsts, sizes, items }), batch);
      }),
  };
}

const bound = ({ key, open, ...batch }: NewBatch) => ({
  ...batch,
  sealed: open !== true,
  key: key?.key ?? null,
  hash: key?.hash ?? null,
});

type Row = { no: number | null; batch: string | null; hash: string | null };

function numberOf([row]: readonly Row[], { id }: NewBatch): number {
  refuseTaken(row, id);
  return row!.no!;
}

/** The key as CTE `k`, the batch as CTE `b`, then the given parts, which read `b`. */
function statement(db: Database, name: string, parts: Record<string, SQL>) {
  const k = keyRow(db, { upload: false });
  const b = db.$with('b', { no: batches.no, fresh: sql<boolean>`fresh` }).as(sql`
    insert into batches (id, name, handler, state, sealed, total, params, options, pass)
    select ${sql.placeholder('id')}::uuid, ${sql.placeholder('name')}::text, ${sql.placeholder('handler')}::text, 'running',
      ${sql.placeholder('sealed')}::boolean, ${sql.placeholder('total')}::bigint, ${sql.placeholder('params')}::text::json,
      ${sql.placeholder('options')}::text::json, coalesce((select min(pass) from batches where state = 'running'), 0)
    where ${keyIsMine}
    on conflict (id) do update set id = excluded.id
    returning no, (xmax = 0) as fresh`);
  const rest = Object.entries(parts).map(([alias, part]) => db.$with(alias, {}).as(part));
  return db
    .with(k, b, ...rest)
    .select({ no: b.no, batch: k.batch, hash: k.hash, durable: sql`set_config('synchronous_commit', 'on', true)` })
    .from(sql`(select 1) one`)
    .leftJoin(b, sql`true`)
    .leftJoin(k, sql`true`)
    .prepare(name);
}
