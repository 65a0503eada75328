import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { jsonTexts, list } from '../bind.ts';
import { batches } from '../schema.ts';
import { prepareExtended } from './extend.ts';
import { placeOf, startPass } from './fair.ts';
import { brakeColumns, brakesOf } from './brakes.ts';
import { addLimit, flightMax, limitOf } from './limits.ts';
import { linesGiven, linesOf } from './lines-given.ts';
import { type Key, keyIsMine, keyRow, refuseTaken } from './keys.ts';
import { addWebhook, boundWebhook, tellColumn, tellOf, type Webhook } from './tell.ts';
import { prepareOpenUpload } from './upload.ts';

/** A batch of so many items gets a range of its own: its space comes back at once when it is deleted. */
const largeItems = 250_000;

/** What both forms say of a batch. */
export interface NewBatch {
  /** UUID v7, made by the caller before its first try. */
  id: string;
  /** Who submits it. Default ''. */
  owner?: string | undefined;
  name: string | null;
  handler: string;
  total: number;
  /** JSON text, or null. */
  params: string | null;
  /** JSON text. */
  options: string;
  /** More items may come. Default false. */
  open?: boolean;
  /** Its chunks stand in lines, and so do those that are appended. Default false. */
  keyed?: boolean;
  /** Default null. */
  webhook?: Webhook | null;
  /** Throws KeyTaken where it is another request's. */
  key?: Key | undefined;
}

/** Some items as they will be stored: `items` is the text of a JSON array of `size` elements, `first` its first index. */
export interface NewChunk {
  first: number;
  size: number;
  items: string;
  /** Of a keyed batch: the partition of their group keys. */
  line?: number | null;
  /** Of a keyed batch: the index of each element, ascending, of which `first` is the first. */
  indexes?: readonly number[] | null;
}

/**
 * Accept: a batch and its chunks in one statement; what is answered 2xx is this commit, which waits for the disk
 * whatever the session says.
 *
 * Repeatable: the batch's id is made before the first try. A second run meets the id, inserts no chunks and answers
 * the same number. A request that comes twice has the same key instead (keys.ts).
 *
 * A large batch takes its number from an upload with its id: so a range that was made for nothing is found (upload.ts).
 *
 * A new batch starts at what is served now (fair.ts): it gets nothing for the time in which it did not exist.
 */
export function prepareAccept(db: Database) {
  const total = sql`${sql.placeholder('total')}::int`;
  const size = sql`${sql.placeholder('size')}::int`;
  const counted = statement(db, 'accept_count', size, {
    c: sql`
      insert into chunks (batch, first, size)
      select b.no, part.first, part.size from b, said l
      cross join lateral (select coalesce((l.options ->> 'canary')::int, 0) as at) held
      cross join lateral (select k * ${size} as first, least(${size}, ${total} - k * ${size}) as size from generate_series(0, (${total} - 1) / ${size}) k) whole
      cross join lateral (
        select whole.first, case when held.at - whole.first between 1 and whole.size - 1 then held.at - whole.first else whole.size end as size
        union all select held.at, whole.first + whole.size - held.at where held.at - whole.first between 1 and whole.size - 1) part
      where b.fresh`,
  });
  const given = statement(db, 'accept_inputs', sql`(${sql.placeholder('sizes')}::int[])[1]`, {
    u: sql`
      select * from unnest(${sql.placeholder('firsts')}::bigint[], ${sql.placeholder('sizes')}::int[],
        string_to_array(${sql.placeholder('items')}::text, E'\\x1f'), ${linesGiven}) u(first, size, items, line, indexes)`,
    i: sql`insert into inputs (batch, first, indexes, items) select b.no, u.first, u.indexes::bigint[], u.items from b, u where b.fresh`,
    c: sql`
      insert into chunks (batch, first, size, src, line, place)
      select b.no, u.first, u.size, u.first, u.line, case when u.line is not null then u.first end from b, u where b.fresh`,
  });
  const extended = prepareExtended(db);
  const openUpload = prepareOpenUpload(db);

  /** Runs an accept that takes its number from nothing (null) or from an upload; again where that upload is gone. */
  async function numbered(
    { id, total }: NewBatch,
    accept: (no: number | null) => Promise<number | null>,
  ): Promise<number> {
    for (let tries = 1; ; tries += 1) {
      const own = total < largeItems ? null : await openUpload({ id, owner: '', key: null, leaseMs: 0, large: true });
      const no = await extended(() => accept(own));
      if (no !== null) return no;
      if (tries === 5) throw new Error('the upload of a large batch was cleaned up each time before it became one');
    }
  }

  return {
    /** `total` items without inputs of their own, in chunks of `size`. Answers the batch's number. */
    acceptCount: (batch: NewBatch, size: number): Promise<number> =>
      numbered(batch, async (no) => numberOf(await counted.execute({ ...bound(batch), no, size }), batch)),
    /** Items with inputs. Answers the batch's number. */
    acceptInputs: (batch: NewBatch, chunks: readonly NewChunk[]): Promise<number> =>
      numbered(batch, async (no) => {
        const firsts = list(chunks.map((chunk) => chunk.first));
        const sizes = list(chunks.map((chunk) => chunk.size));
        const items = jsonTexts(chunks.map((chunk) => chunk.items));
        return numberOf(await given.execute({ ...bound(batch), no, firsts, sizes, items, ...linesOf(chunks) }), batch);
      }),
  };
}

const bound = ({ key, owner = '', open, keyed = false, webhook, ...batch }: NewBatch) => ({
  ...batch,
  owner,
  ...boundWebhook(webhook),
  sealed: open !== true,
  keyed,
  key: key?.key ?? null,
  hash: key?.hash ?? null,
});

type Row = { no: number | null; batch: string | null; hash: string | null };

/** Null: the upload that has its number is gone. */
function numberOf([row]: readonly Row[], { id }: NewBatch): number | null {
  refuseTaken(row, id);
  return row!.no;
}

/** The key as CTE `k`, the batch as CTE `b`, then the given parts, which read `b`; `chunk` is the size of its chunks. */
function statement(db: Database, name: string, chunk: SQL, parts: Record<string, SQL>) {
  const k = keyRow(db, { upload: false });
  const place = placeOf(sql`l.options`);
  const no = sql`${sql.placeholder('no')}::int`;
  const id = sql`${sql.placeholder('id')}::uuid`;
  const owner = sql`${sql.placeholder('owner')}::text`;
  const taken = db.$with('taken', {}).as(sql`
    delete from uploads where no = ${no} and id = ${id} and not dead and ${keyIsMine} returning no`);
  const said = db.$with('said', {}).as(sql`
    select g.options, l.* from (select ${sql.placeholder('options')}::text::json as options) g cross join lateral (${limitOf(sql`g.options`)}) l`);
  const b = db.$with('b', { no: batches.no, fresh: sql<boolean>`fresh` }).as(sql`
    insert into batches (no, id, owner, name, handler, state, sealed, keyed, total, params, options, flight_max, priority, weight, pass, ${brakeColumns}, ${tellColumn})
    select coalesce(${no}, nextval('batches_no'::regclass)), ${id}, ${owner}, ${sql.placeholder('name')}::text, ${sql.placeholder('handler')}::text, 'running',
      ${sql.placeholder('sealed')}::boolean, ${sql.placeholder('keyed')}::boolean, ${sql.placeholder('total')}::bigint, ${sql.placeholder('params')}::text::json,
      l.options, ${flightMax(chunk)}, ${place.priority}, ${place.weight}, ${startPass(owner, place.priority)}, ${brakesOf(sql`l.options`)}, ${tellOf}
    from said l left join limits h on h.name = 'handler:' || ${sql.placeholder('handler')}::text
    where ${keyIsMine} and (${no} is null or exists (select from taken) or exists (select from batches where id = ${id}))
    on conflict (id) do update set id = excluded.id
    returning no, (xmax = 0) as fresh`);
  const limited = db.$with('limited', {}).as(addLimit('b', 'said', sql`b.fresh`));
  const hooked = db.$with('hooked', {}).as(addWebhook('b', sql`b.fresh`));
  const rest = Object.entries(parts).map(([alias, part]) => db.$with(alias, {}).as(part));
  return db
    .with(k, taken, said, b, limited, hooked, ...rest)
    .select({ no: b.no, batch: k.batch, hash: k.hash, durable: sql`set_config('synchronous_commit', 'on', true)` })
    .from(sql`(select 1) one`)
    .leftJoin(b, sql`true`)
    .leftJoin(k, sql`true`)
    .prepare(name);
}
