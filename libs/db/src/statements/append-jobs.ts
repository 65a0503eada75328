import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { jsonTexts } from '../bind.ts';
import { batches, chunks, inputs } from '../schema.ts';
import { ownKeys, ownKeysKeptFor, whileKeysCollide } from './append.ts';
import { type Key, keptFor } from './keys.ts';
import { rollingMax, today } from './roll-jobs.ts';

/** A single item; `input` is JSON text. */
export interface NewJob {
  input: string;
  key?: Key | undefined;
}

/**
 * Where a single item is. `hash` is that of the request under whose key it is known, which may be another; without a hash and an
 * index that request is still being read.
 */
export interface Placed {
  batch: string;
  index: number | null;
  hash: string | null;
}

/**
 * Append jobs: a group of single items as one chunk of the rolling batch, which numbers them. Those whose key is known are
 * left out and answered as they were. One that is paused takes items that wait. Null: the batch takes no more, roll. `owner` is whose keys they are, and whose batch.
 *
 * Repeatable: the group has a key of its own under which its first index is kept. Keys of two groups at once: as in append.
 * No key may stand in a group twice.
 */
export function prepareAppendJobs(db: Database) {
  const id = sql`${sql.placeholder('batch')}::uuid`;
  const owner = sql`${sql.placeholder('owner')}::text`;
  const separator = sql`E'\\x1f'`;
  const given = db.$with('given', {}).as(sql`
    select n, key, hash, item from unnest(string_to_array(${sql.placeholder('keys')}::text, ${separator}, ''),
      string_to_array(${sql.placeholder('hashes')}::text, ${separator}, ''), string_to_array(${sql.placeholder('items')}::text, ${separator}))
      with ordinality u(key, hash, item, n)`);
  const known = db.$with('known', {}).as(sql`
    select g.n, i.batch, i.hash, i.first as at from given g join idempotency i on i.owner = ${owner} and i.key = g.key where i.expires_at > clock_timestamp()
    union all
    select g.n, i.batch, null, i.first + g.n - 1 from given g join idempotency i
      on i.owner = ${sql.raw(`'${ownKeys}'`)} and i.key = ${sql.placeholder('group')}::text where g.key is null`);
  const expired = db.$with('expired', {}).as(sql`
    delete from idempotency where owner = ${owner} and key in (select key from given) and expires_at <= clock_timestamp() returning 1`);
  const fresh = db.$with('fresh', {}).as(sql`
    select g.*, row_number() over (order by g.n) - 1 as at from given g where not exists (select from known where known.n = g.n)`);
  const n = sql`(select count(*) from fresh)::int`;
  const b = db.$with('b', { no: batches.no, first: sql<number>`first`.as('first') }).as(sql`
    update batches set total = total + ${n}
    where id = ${id} and not sealed and state in ('running', 'paused') and created_at >= ${today} and total < ${rollingMax} and ${n} > 0
    returning no, (total - ${n})::float8 as first`);
  const stored = db.$with('stored', {}).as(sql`
    insert into ${inputs} (batch, first, items) select b.no, b.first, '[' || (select string_agg(item, ',' order by at) from fresh) || ']' from b`);
  const cut = db
    .$with('cut', {})
    .as(sql`insert into ${chunks} (batch, first, size, src) select no, first::bigint, ${n}, first::bigint from b`);
  const kept = db.$with('kept', {}).as(sql`
    insert into idempotency (owner, key, hash, batch, first, count, expires_at)
    select ${owner}, key, hash, ${id}, b.first + at, 1, clock_timestamp() + ${keptFor} from fresh, b where key is not null and (select count(*) from expired) >= 0
    union all
    select ${sql.raw(`'${ownKeys}'`)}, ${sql.placeholder('group')}::text, null, ${id}, b.first, ${n}, clock_timestamp() + ${ownKeysKeptFor} from b`);
  const placed = db.$with('placed', {
    n: sql<number>`n`.as('n'), batch: sql<string | null>`batch`.as('batch'), index: sql<number | null>`index`.as('index'), hash: sql<string | null>`hash`.as('hash'),
  }).as(sql`
    select g.n, coalesce(k.batch, case when b.no is not null then ${id} end) as batch, coalesce(k.at, b.first + f.at)::float8 as index, k.hash
    from given g left join known k on k.n = g.n left join fresh f on f.n = g.n left join b on true`); // prettier-ignore
  const query = db
    .with(given, known, expired, fresh, b, stored, cut, kept, placed)
    .select({
      batch: placed.batch,
      index: placed.index,
      hash: placed.hash,
      durable: sql`set_config('synchronous_commit', 'on', true)`,
    })
    .from(placed)
    .orderBy(placed.n)
    .prepare('append_jobs');

  return (request: {
    batch: string;
    owner: string;
    group: string;
    jobs: readonly NewJob[];
  }): Promise<Placed[] | null> =>
    whileKeysCollide(async () => {
      // Without keys first, so that a repeated run finds them by their place in the group.
      const order = [...request.jobs.keys()].sort(
        (a, b) => sortOf(request.jobs[a]!) - sortOf(request.jobs[b]!) || a - b,
      );
      const jobs = order.map((at) => request.jobs[at]!);
      const rows = await query.execute({
        batch: request.batch,
        owner: request.owner,
        group: request.group,
        keys: jobs.map(({ key }) => key?.key ?? '').join('\u001f'),
        hashes: jobs.map(({ key }) => key?.hash ?? '').join('\u001f'),
        items: jsonTexts(jobs.map(({ input }) => input)),
      });
      const placed: Placed[] = [];
      for (const [at, { batch, index, hash }] of rows.entries()) {
        if (batch === null) return null;
        placed[order[at]!] = { batch, index, hash };
      }
      return placed;
    });
}

const sortOf = ({ key }: NewJob): number => (key === undefined ? 0 : 1);
