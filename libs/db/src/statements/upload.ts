import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { jsonTexts, list } from '../bind.ts';
import { batches, chunks, inputs, uploads } from '../schema.ts';
import type { NewBatch, NewChunk } from './accept.ts';

/** Rows of inputs and of chunks that one clean-up deletes at most. */
const portion = 500;

/**
 * An upload is a batch that does not exist yet: its chunks and inputs are there under a number that no batch has, so
 * that nothing marks, lists or counts them. It goes live in one statement, or is cleaned up once its producer has not
 * been heard of for a lease.
 */

/**
 * Open upload: gives it a number.
 *
 * Repeatable: the id is made before the first try, and a second run answers the same number.
 */
export function prepareOpenUpload(db: Database) {
  const query = db
    .insert(uploads)
    .values({ no: sql`nextval('batches_no'::regclass)`, id: sql.placeholder('id') })
    .onConflictDoUpdate({ target: uploads.id, set: { seen: sql`clock_timestamp()` } })
    .returning({ no: uploads.no })
    .prepare('open_upload');
  return async (id: string): Promise<number> => (await query.execute({ id }))[0]!.no;
}

/**
 * Put: stores chunks of an upload. False: it is being cleaned up.
 *
 * Repeatable: inputs have a natural key, and a chunk is stored only with its inputs. Several may be in flight: they share the
 * lock on the upload, which keeps the clean-up waiting.
 */
export function preparePut(db: Database) {
  const upload = db
    .$with('upload', { no: uploads.no })
    .as(sql`select no from uploads where no = ${sql.placeholder('no')}::int and not dead for key share`);
  const given = db.$with('given', {}).as(sql`
    select * from unnest(${sql.placeholder('firsts')}::int[], ${sql.placeholder('sizes')}::int[],
      string_to_array(${sql.placeholder('items')}::text, E'\\x1f')) u(first, size, items)`);
  const stored = db.$with('stored', {}).as(sql`
    insert into ${inputs} (batch, first, items) select upload.no, given.first, given.items from upload, given
    on conflict do nothing returning first`);
  const cut = db.$with('cut', {}).as(sql`
    insert into ${chunks} (batch, first, size, src)
    select upload.no, given.first, given.size, given.first from upload, given join stored using (first)`);
  const query = db.with(upload, given, stored, cut).select({ no: upload.no }).from(upload).prepare('put');
  return async ({ no, chunks: put }: { no: number; chunks: readonly NewChunk[] }): Promise<boolean> => {
    const rows = await query.execute({
      no,
      firsts: list(put.map(({ first }) => first)),
      sizes: list(put.map(({ size }) => size)),
      items: jsonTexts(put.map(({ items }) => items)),
    });
    return rows.length > 0;
  };
}

/**
 * Keep: the producer of these uploads is there. Answers those that are still its own.
 *
 * Repeatable: it sets what should be so.
 */
export function prepareKeepUploads(db: Database) {
  const query = db
    .update(uploads)
    .set({ seen: sql`clock_timestamp()` })
    .where(sql`${uploads.no} = any(${sql.placeholder('nos')}::int[]) and not ${uploads.dead}`)
    .returning({ no: uploads.no })
    .prepare('keep_uploads');
  return async (nos: readonly number[]): Promise<number[]> =>
    (await query.execute({ nos: list(nos) })).map(({ no }) => no);
}

/**
 * Go live: the upload becomes a batch that runs, where all of its chunks are there: so many, with so many items together.
 * Waits for the disk. False: something is missing, or it is being cleaned up, and nothing has changed.
 *
 * Repeatable: a batch of this id that is there already is the answer of the first run.
 */
export function prepareGoLive(db: Database) {
  const no = sql`${sql.placeholder('no')}::int`;
  const total = sql`${sql.placeholder('total')}::bigint`;
  const whole = sql`(select count(*) = ${sql.placeholder('chunks')}::int and sum(size) = ${total} from chunks
    where batch = ${no} and state = 'pending' and not_before is null)`;
  const ended = db
    .$with('ended', {})
    .as(
      sql`delete from uploads where no = ${no} and id = ${sql.placeholder('id')}::uuid and not dead and ${whole} returning no`,
    );
  const live = db.$with('live', { no: batches.no }).as(sql`
    insert into batches (no, id, name, handler, state, total, params, options, pass)
    select no, ${sql.placeholder('id')}::uuid, ${sql.placeholder('name')}, ${sql.placeholder('handler')}, 'running', ${total},
      ${sql.placeholder('params')}::text::json, ${sql.placeholder('options')}::text::json,
      coalesce((select min(pass) from batches where state = 'running'), 0)
    from ended returning no`);
  const query = db
    .with(ended, live)
    .select({
      live: sql<boolean>`exists (select from live)`,
      durable: sql`set_config('synchronous_commit', 'on', true)`,
    })
    .from(sql`(select 1) one`)
    .prepare('go_live');
  const known = db
    .select({ no: batches.no })
    .from(batches)
    .where(sql`${batches.id} = ${sql.placeholder('id')}::uuid`)
    .prepare('went_live');
  return async (batch: NewBatch & { no: number; chunks: number }): Promise<boolean> => {
    const [row] = await query.execute({ ...batch });
    // A statement of its own: one that waited for the first run does not see what that has stored.
    return row!.live || (await known.execute({ id: batch.id })).length > 0;
  };
}

/**
 * Abort: an upload that was refused or cut goes to the clean-up at once.
 *
 * Repeatable: it sets what should be so. One that is live has no row here.
 */
export function prepareAbortUpload(db: Database) {
  const query = db
    .update(uploads)
    .set({ dead: true })
    .where(sql`${uploads.no} = ${sql.placeholder('no')}::int`)
    .prepare('abort_upload');
  return async (no: number): Promise<void> => void (await query.execute({ no }));
}

/**
 * Clean up: uploads whose producer was not heard of for a lease are dead from now on; of those that are dead a portion of
 * rows goes, and with the last of them the upload. Answers whether there is more.
 *
 * Repeatable: it deletes what should not be there. An upload that goes live at the same time holds its row: one of both
 * finds it gone, or dead.
 */
export function prepareCleanUploads(db: Database) {
  const lease = sql`make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)`;
  const dying = db.$with('dying', {}).as(sql`
    update uploads set dead = true where not dead and greatest(seen, pg_postmaster_start_time()) < clock_timestamp() - ${lease}`);
  const dead = db.$with('dead', {}).as(sql`
    select no from uploads where dead order by no limit 1 for update skip locked`);
  const uncut = db.$with('uncut', {}).as(sql`
    delete from chunks where no = any(array(select c.no from chunks c join dead on dead.no = c.batch
      where c.state = 'pending' and c.not_before is null limit ${sql.raw(String(portion))})) returning 1`);
  const emptied = db.$with('emptied', {}).as(sql`
    delete from inputs where batch = (select no from dead) and first = any(array(
      select i.first from inputs i join dead on dead.no = i.batch limit ${sql.raw(String(portion))})) returning 1`);
  const gone = db.$with('gone', {}).as(sql`
    delete from uploads where no = (select no from dead)
      and not exists (select from inputs i where i.batch = uploads.no)
      and not exists (select from chunks c where c.batch = uploads.no and c.state = 'pending' and c.not_before is null)`);
  const query = db
    .with(dying, dead, uncut, emptied, gone)
    .select({ more: sql<boolean>`exists (select from uploads where dead)` })
    .from(sql`(select 1) one`)
    .prepare('clean_uploads');
  return async (request: { leaseMs: number }): Promise<boolean> => (await query.execute(request))[0]!.more;
}
