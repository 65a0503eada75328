import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { jsonTexts, list } from '../bind.ts';
import { batches, chunks, partials, results } from '../schema.ts';

/** What became of one claimed chunk. Its items are either final (succeeded or failed) or in a rest. */
export interface Settled {
  no: number;
  claim: string;
  /** First index of the chunk. */
  first: number;
  /** Items that succeeded, those that were only acknowledged among them. */
  succeeded: number;
  /** Text of a JSON array: the outputs of the items that succeeded and returned something. */
  outputs: string;
  /** Index of each output; null: they are those from `first` on without a gap. */
  indexes: readonly number[] | null;
  failures: readonly { index: number; error: { code: string; message: string } }[];
  rests: readonly Rest[];
  /** JSON text of what the handler's `reduce` made of the outputs; left out where there is none. */
  partial?: string | null;
}

/** Items that go back: those that were not started (same attempt), or that are tried again (attempt + 1, after a wait). */
export interface Rest {
  /** Either a run of indexes … */
  first: number;
  size: number;
  /** … or these, of which `first` is the smallest. */
  picks: readonly number[] | null;
  attempt: number;
  delayMs: number;
}

export interface Flushed {
  no: number;
  batch: number;
  batchState: string;
}

/**
 * Flush: settles claimed chunks. Results of the items that are final and what `reduce` made of them, the chunk done with
 * that many, the rest as new chunks, the batch's counts and its completion, in one statement.
 *
 * Repeatable: a chunk that was settled is `done`, so a second run finds nothing to settle and answers no row for it. A
 * caller that lost a reply therefore reads "no row" as "settled by me or taken from me": either way it is over.
 *
 * The fence: a chunk is settled only while it runs under the given claim id. What another one took over is left out,
 * with its results, its partial and its rest; the caller counts it as fenced. Hence a partial for each chunk: one for all
 * chunks of a flush could hold what was fenced.
 *
 * Errors travel as texts like outputs do: `->>` on a JSON list of them would decode all of it, and a NUL or a lone
 * surrogate in one message would fail the flush.
 *
 * The counters of the batch come last, tied to the insert by `count(inserted) >= 0`: last they cost nothing, first they make
 * two workers slower than one (512 000 instead of 752 000 rows/s). The lock on the batch row makes completion exact;
 * `not exists (unfinished chunk)` missed it in 296 of 300.
 *
 * Commits without waiting for the disk, unless it completes a batch: the log is in order, so that one commit makes all
 * earlier ones durable, and nothing that was shown as completed is ever taken back.
 */
export function prepareFlush(db: Database) {
  const separator = sql`E'\\x1f'`;
  const fin = db.$with('fin', { no: chunks.no, batch: chunks.batch }).as(sql`
    select c.no, c.batch, c.first, c.src, c.attempt, c.format, u.succeeded, u.failed, u.outputs, u.indexes::int[] as indexes
    from unnest(${sql.placeholder('nos')}::bigint[], ${sql.placeholder('claims')}::uuid[], ${sql.placeholder('succeeded')}::int[],
      ${sql.placeholder('failed')}::int[], string_to_array(${sql.placeholder('outputs')}::text, ${separator}),
      string_to_array(${sql.placeholder('indexes')}::text, ';', '')) u(no, claim, succeeded, failed, outputs, indexes)
    join chunks c on c.no = u.no and c.claim = u.claim and c.state = 'running'
    order by c.no for update of c`);
  const done = db.$with('done', {}).as(sql`
    update chunks c set state = 'done', size = f.succeeded + f.failed, picks = null from fin f where c.no = f.no`);
  const rest = db.$with('rest', {}).as(sql`
    insert into chunks (batch, first, size, src, picks, attempt, format, not_before)
    select f.batch, (x.v->>1)::int, (x.v->>2)::int, f.src,
      (select array_agg(e::int) from json_array_elements_text(case json_typeof(x.v->3) when 'array' then x.v->3 end) e),
      (x.v->>4)::smallint, f.format,
      case when (x.v->>5)::float8 > 0 then clock_timestamp() + make_interval(secs => (x.v->>5)::float8 / 1000) end
    from json_array_elements(${sql.placeholder('rests')}::text::json) x(v) join fin f on f.no = (x.v->>0)::bigint`);
  const inserted = db.$with('inserted', { one: sql<number>`one` }).as(sql`
    insert into ${results} (batch, index, finished_at, status, attempt, output, error, src)
    select f.batch, coalesce(f.indexes[o.n], f.first + o.n - 1)::int, now(), 1, f.attempt, o.value, null::json, null::int
    from fin f cross join json_array_elements(f.outputs::json) with ordinality o(value, n)
    union all
    select f.batch, x.index, now(), 2, f.attempt, null, x.error::json, f.src
    from unnest(${sql.placeholder('failureNos')}::bigint[], ${sql.placeholder('failureIndexes')}::int[],
      string_to_array(${sql.placeholder('failureErrors')}::text, ${separator})) x(no, index, error) join fin f on f.no = x.no
    returning 1 as one`);
  const reduced = db.$with('reduced', { one: sql<number>`one` }).as(sql`
    insert into ${partials} (batch, partial)
    select f.batch, x.partial::json from unnest(${sql.placeholder('partialNos')}::bigint[],
      string_to_array(${sql.placeholder('partials')}::text, ${separator})) x(no, partial) join fin f on f.no = x.no
    returning 1 as one`);
  // In order, for a flush of several batches meets other flushes and mark; after the insert, see above.
  const locked = db.$with('locked', {}).as(sql`
    select no from batches where no = any(array(select distinct batch from fin)) and (select count(*) from inserted) >= 0
      and (select count(*) from reduced) >= 0
    order by no for no key update`);
  const ends = sql`b.state = 'running' and b.sealed and b.succeeded + s.succeeded + b.failed + s.failed = b.total`;
  const counted = db.$with('counted', { no: batches.no, state: batches.state }).as(sql`
    update batches b set succeeded = b.succeeded + s.succeeded, failed = b.failed + s.failed,
      state = case when ${ends} then 'completed' else b.state end,
      finished_at = case when ${ends} then clock_timestamp() else b.finished_at end
    from (select batch, sum(succeeded) as succeeded, sum(failed) as failed from fin group by batch) s
    where b.no = s.batch and b.no = any(array(select no from locked))
    returning b.no, b.state`);
  const query = db
    .with(fin, done, rest, inserted, reduced, locked, counted)
    .select({
      no: fin.no,
      batch: fin.batch,
      batchState: counted.state,
      durable: sql`set_config('synchronous_commit', case when bool_or(${counted.state} = 'completed') over () then 'on' else 'off' end, true)`,
    })
    .from(fin)
    .innerJoin(counted, sql`${counted.no} = ${fin.batch}`)
    .prepare('flush');

  return (settled: readonly Settled[]): Promise<Flushed[]> => {
    const failures = settled.flatMap(({ no, failures }) => failures.map((failure) => ({ no, ...failure })));
    const reduced = settled.flatMap(({ no, partial }) => (partial == null ? [] : [{ no, partial }]));
    return query.execute({
      nos: list(settled.map((each) => each.no)),
      claims: list(settled.map((each) => each.claim)),
      succeeded: list(settled.map((each) => each.succeeded)),
      failed: list(settled.map((each) => each.failures.length)),
      outputs: jsonTexts(settled.map((each) => each.outputs)),
      indexes: settled.map((each) => (each.indexes === null ? '' : list(each.indexes))).join(';'),
      failureNos: list(failures.map(({ no }) => no)),
      failureIndexes: list(failures.map(({ index }) => index)),
      failureErrors: jsonTexts(failures.map(({ error }) => JSON.stringify(error))),
      partialNos: list(reduced.map(({ no }) => no)),
      partials: jsonTexts(reduced.map(({ partial }) => partial)),
      rests: JSON.stringify(
        settled.flatMap((each) => each.rests.map((r) => [each.no, r.first, r.size, r.picks, r.attempt, r.delayMs])),
      ),
    });
  };
}
