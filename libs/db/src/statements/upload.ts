import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { jsonTexts, list, lists } from '../bind.ts';
import { fingerprintOf } from '../fingerprint.ts';
import { batches, chunks, idempotency, inputs, results, uploads } from '../schema.ts';
import type { NewBatch, NewChunk } from './accept.ts';
import { prepareExtended } from './extend.ts';
import { placeOf, startPass } from './fair.ts';
import { keptFor, keyRow, refuseTaken } from './keys.ts';
import { brakeColumns, brakesOf } from './brakes.ts';
import { addLimit, flightMax, limitOf } from './limits.ts';
import { linesGiven, linesOf } from './lines-given.ts';
import { addWebhook, boundWebhook, tellColumn, tellOf } from './tell.ts';

/**
 * An upload is a batch that does not exist yet: its chunks and inputs are there under a number that no batch has, so
 * that nothing marks, lists or counts them. It goes live in one statement, or is cleaned up (clean-uploads.ts) once its
 * producer has not been heard of for a lease.
 */
export interface Upload {
  no: number;
  /** Of the batch that it becomes. */
  id: string;
}

/** Some items of an upload. Those that were skipped have failed already, and their inputs are kept for a retry. */
export interface UploadedChunk extends NewChunk {
  skipped: readonly { index: number; error: { code: string; message: string } }[];
}

/**
 * Open upload: gives it a number, and holds its key. Throws KeyTaken where the key is another request's. A large one gets a
 * number with a range of its own, so that its space comes back at once; making the tables takes some 20 ms.
 *
 * Repeatable: the id is made before the first try, and a second run answers the same number. A range that it made in vain
 * is found free.
 */
export function prepareOpenUpload(db: Database) {
  const upload = db.$with('upload', { no: uploads.no }).as(sql`
    insert into uploads (no, id)
    values (case when ${sql.placeholder('large')}::boolean then own_number() else nextval('batches_no'::regclass) end, ${sql.placeholder('id')}::uuid)
    on conflict (id) do update set seen = clock_timestamp() returning no`);
  const k = keyRow(db, { upload: true });
  const query = db
    .with(upload, k)
    .select({ no: upload.no, batch: k.batch, hash: k.hash })
    .from(upload)
    .leftJoin(k, sql`true`)
    .prepare('open_upload');
  const extended = prepareExtended(db);
  return async (request: {
    id: string;
    owner: string;
    key: string | null;
    leaseMs: number;
    large?: boolean;
  }): Promise<number> => {
    const [row] = await extended(() => query.execute({ large: false, ...request }));
    refuseTaken(row, request.id);
    return row!.no;
  };
}

/**
 * Put: stores chunks of an upload. False: it is being cleaned up.
 *
 * Repeatable: inputs have a natural key, and a chunk is stored only with its inputs. Several may be in flight: they share the
 * lock on the upload, which keeps the clean-up waiting. Its commit waits for no disk: that of going live makes it durable.
 *
 * A chunk of a line that has nothing to run is stored too, as done: a retry finds by it where its items belong.
 */
export function preparePut(db: Database) {
  const separator = sql`E'\\x1f'`;
  const upload = db
    .$with('upload', { no: uploads.no })
    .as(sql`select no from uploads where no = ${sql.placeholder('no')}::int and not dead for key share`);
  const given = db.$with('given', {}).as(sql`
    select first, size, picks::bigint[] as picks, items, line, indexes::bigint[] as indexes
    from unnest(${sql.placeholder('firsts')}::bigint[], ${sql.placeholder('sizes')}::int[],
      string_to_array(${sql.placeholder('picks')}::text, ';', ''), string_to_array(${sql.placeholder('items')}::text, ${separator}), ${linesGiven}) u(first, size, picks, items, line, indexes)`);
  const stored = db.$with('stored', {}).as(sql`
    insert into ${inputs} (batch, first, indexes, items) select upload.no, given.first, given.indexes, given.items from upload, given
    on conflict do nothing returning first`);
  const cut = db.$with('cut', {}).as(sql`
    insert into ${chunks} (batch, first, size, src, picks, line, place, state)
    select upload.no, coalesce(given.picks[1], given.first), given.size, given.first, given.picks,
      given.line, case when given.line is not null then given.first end, case when given.size > 0 then 'pending' else 'done' end
    from upload, given join stored using (first) where given.size > 0 or given.line is not null`);
  const skipped = db.$with('skipped', {}).as(sql`
    insert into ${results} (batch, index, finished_at, status, attempt, error, src, fingerprint)
    select upload.no, x.index, now(), 2, 0, x.error::json, x.first, x.fingerprint
    from upload, unnest(${sql.placeholder('skippedFirsts')}::bigint[], ${sql.placeholder('skippedIndexes')}::bigint[],
      string_to_array(${sql.placeholder('skippedErrors')}::text, ${separator}), ${sql.placeholder('skippedFingerprints')}::text[]) x(first, index, error, fingerprint)
    join stored on stored.first = x.first`);
  const query = db
    .with(upload, given, stored, cut, skipped)
    .select({ no: upload.no, quick: sql`set_config('synchronous_commit', 'off', true)` })
    .from(upload)
    .prepare('put');
  return async ({ no, chunks: put }: { no: number; chunks: readonly UploadedChunk[] }): Promise<boolean> => {
    const skips = put.flatMap(({ first, skipped }) => skipped.map((each) => ({ first, ...each })));
    const rows = await query.execute({
      no,
      firsts: list(put.map(({ first }) => first)),
      sizes: list(put.map(({ size, skipped }) => size - skipped.length)),
      picks: lists(put.map(picksOf)),
      items: jsonTexts(put.map(({ items }) => items)),
      skippedFirsts: list(skips.map(({ first }) => first)),
      skippedIndexes: list(skips.map(({ index }) => index)),
      skippedErrors: jsonTexts(skips.map(({ error }) => JSON.stringify(error))),
      skippedFingerprints: list(skips.map(({ error }) => fingerprintOf(error))),
      ...linesOf(put),
    });
    return rows.length > 0;
  };
}

/** The indexes that run, where some do not. */
function picksOf({ first, size, skipped, indexes }: UploadedChunk): number[] | null {
  if (skipped.length === 0 || skipped.length === size) return null;
  const left = new Set(skipped.map(({ index }) => index));
  return Array.from({ length: size }, (_, at) => indexes?.[at] ?? first + at).filter((index) => !left.has(index));
}

/**
 * Keep: the producer of these uploads is there, and so are their keys. Answers those that are still its own.
 *
 * Repeatable: it sets what should be so.
 */
export function prepareKeepUploads(db: Database) {
  const kept = db.$with('kept', { no: uploads.no }).as(sql`
    update uploads set seen = clock_timestamp() where no = any(${sql.placeholder('nos')}::int[]) and not dead returning no`);
  const held = db.$with('held', {}).as(sql`
    update idempotency set expires_at = clock_timestamp() + make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)
    where hash is null and upload = any(array(select no from kept))`);
  const query = db.with(kept, held).select({ no: kept.no }).from(kept).prepare('keep_uploads');
  return async ({ nos, leaseMs }: { nos: readonly number[]; leaseMs: number }): Promise<number[]> =>
    (await query.execute({ nos: list(nos), leaseMs })).map(({ no }) => no);
}

/** What an upload has come to when its last byte is read. */
export interface WholeUpload extends NewBatch {
  no: number;
  /** How many were put, and how many of them had something to run. */
  chunks: number;
  skipped: number;
}

/**
 * Go live: the upload becomes a batch that runs, where all of it is there: so many chunks, with so many items together, and
 * so many that were skipped. Waits for the disk. False: something is missing, it is being cleaned up, or its key
 * has become another request's; and nothing has changed.
 *
 * Repeatable: a batch of this id that is there already is the answer of the first run.
 */
export function prepareGoLive(db: Database) {
  const no = sql`${sql.placeholder('no')}::int`;
  const id = sql`${sql.placeholder('id')}::uuid`;
  const owner = sql`${sql.placeholder('owner')}::text`;
  const key = sql`${sql.placeholder('key')}::text`;
  const total = sql`${sql.placeholder('total')}::bigint`;
  const skipped = sql`${sql.placeholder('skipped')}::bigint`;
  const keyed = sql`${sql.placeholder('keyed')}::boolean`;
  const allOf = (which: SQL) => sql`
    (select count(*) = ${sql.placeholder('chunks')}::int and coalesce(sum(size), 0) = ${total} - ${skipped} from chunks where batch = ${no} and ${which})`;
  // Each in the words of the index that holds them; only the one that is asked for is run.
  const place = placeOf(sql`l.options`);
  const whole = sql`case when ${keyed} then ${allOf(sql`line is not null and state <> 'done'`)}
      else ${allOf(sql`state = 'pending' and not_before is null and line is null`)} end
    and (${skipped} = 0 or (select count(*) from ${results} where batch = ${no}) = ${skipped})`;
  // First the upload, then its key: keep takes them in this order too.
  const held = db
    .$with('held', {})
    .as(sql`select no from uploads where no = ${no} and id = ${id} and not dead for update`);
  const mine = db.$with('mine', { key: idempotency.key }).as(sql`
    select key from idempotency where owner = ${owner} and key = ${key} and batch = ${id} and (select count(*) from held) >= 0 for update`);
  const ended = db.$with('ended', {}).as(sql`
    delete from uploads where no in (select no from held) and (${key} is null or exists (select from mine)) and ${whole}
    returning no`);
  const kept = db.$with('kept', {}).as(sql`
    update idempotency set hash = ${sql.placeholder('hash')}::text, upload = null, expires_at = clock_timestamp() + ${keptFor}
    where owner = ${owner} and key in (select key from mine) and exists (select from ended)`);
  const done = sql`${skipped} = ${total} and ${sql.placeholder('sealed')}::boolean`;
  const said = db.$with('said', {}).as(sql`
    select g.options, l.* from (select ${sql.placeholder('options')}::text::json as options) g cross join lateral (${limitOf(sql`g.options`)}) l`);
  const live = db.$with('live', { no: batches.no }).as(sql`
    insert into batches (no, id, owner, name, handler, state, sealed, keyed, total, failed, params, options, flight_max, priority, weight, pass, finished_at, ${brakeColumns}, ${tellColumn})
    select no, ${id}, ${owner}, ${sql.placeholder('name')}::text, ${sql.placeholder('handler')}::text,
      case when ${done} then 'completed' else 'running' end, ${sql.placeholder('sealed')}::boolean, ${keyed}, ${total}, ${skipped},
      ${sql.placeholder('params')}::text::json, l.options, ${flightMax(sql`${total} / greatest(1, ${sql.placeholder('chunks')}::int)`)},
      ${place.priority}, ${place.weight}, ${startPass(owner, place.priority)}, case when ${done} then clock_timestamp() end, ${brakesOf(sql`l.options`)}, ${tellOf}
    from ended cross join said l left join limits h on h.name = 'handler:' || ${sql.placeholder('handler')}::text returning no`);
  const limited = db.$with('limited', {}).as(addLimit('live', 'said', sql`true`));
  const hooked = db.$with('hooked', {}).as(addWebhook('live', sql`true`));
  const settled = db.$with('settled', {}).as(sql`
    insert into chunks (batch, first, size, state) select no, 0, ${skipped}::int, 'done' from live where ${skipped} > 0`);
  const query = db
    .with(held, mine, ended, kept, said, live, limited, hooked, settled)
    .select({
      live: sql<boolean>`exists (select from live)`,
      durable: sql`set_config('synchronous_commit', 'on', true)`,
    })
    .from(sql`(select 1) one`)
    .prepare('go_live');
  const known = db
    .select({ no: batches.no })
    .from(batches)
    .where(sql`${batches.id} = ${id}`)
    .prepare('went_live');
  return async ({ key, owner = '', open, keyed = false, webhook, ...batch }: WholeUpload): Promise<boolean> => {
    const [row] = await query.execute({
      ...batch,
      owner,
      ...boundWebhook(webhook),
      sealed: open !== true,
      keyed,
      key: key?.key ?? null,
      hash: key?.hash ?? null,
    });
    // A statement of its own: one that waited for the first run does not see what that has stored.
    return row!.live || (await known.execute({ id: batch.id })).length > 0;
  };
}
