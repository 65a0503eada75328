import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { jsonTexts, list, lists } from '../bind.ts';
import { fingerprintOf } from '../fingerprint.ts';
import { chunks, partials, results } from '../schema.ts';
import { countOutcomes } from './count-outcomes.ts';
import { placeRests } from './rests.ts';

/** The items of a claimed chunk that are final. */
export interface Outcome {
  no: number;
  claim: string;
  /** First index of the chunk. */
  first: number;
  /** Items that succeeded, those that were only acknowledged among them. */
  succeeded: number;
  /** JSON texts (`joinTexts`): the outputs of the items that succeeded and returned something. */
  outputs: string;
  /** Index of each output; null: they are those from `first` on without a gap. */
  indexes: readonly number[] | null;
  failures: readonly { index: number; error: { code: string; message: string } }[];
  /** JSON text of what the handler's `reduce` made of the outputs; left out where there is none. */
  partial?: string | null;
}

/** What became of one claimed chunk. Its items are either final (succeeded or failed) or in a rest. */
export interface Settled extends Outcome {
  rests: readonly Rest[];
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
  /** Rests of one flush with the same word become one row; without it this one gets a row of its own. */
  merge?: string;
  /** Rows of inputs that its items are in, by their first index, in order; none in a count batch. */
  srcs?: readonly number[];
  /** Length of these inputs. */
  bytes?: number;
}

export interface Flushed {
  no: number;
  batch: number;
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
 * surrogate in one message would fail the flush. Their fingerprints have a list of their own for the same reason.
 *
 * Rests of one batch and attempt become one row (rests.ts). They are put together here, after the join with the chunks
 * that are settled: of a chunk that is fenced no item is in the row.
 *
 * Outputs are cut at U+001F, and indexes beside them, by `unnest` in the select list: `json_array_elements` reads them a second
 * time, and a function in `from` writes its rows down before they are used. The cast is the check that they are JSON.
 *
 * Chunks are named twice, and their state is not said as the index of all that runs has it: a plan that is made while few run, and kept,
 * otherwise reads all that run with each flush.
 *
 * The counters of the batches come last, and only a flush that completes one waits for the disk (count-outcomes.ts).
 */
export function prepareFlush(db: Database) {
  const separator = sql`E'\\x1f'`;
  const nos = sql`${sql.placeholder('nos')}::bigint[]`;
  const fin = db.$with('fin', { no: chunks.no, batch: chunks.batch }).as(sql`
    select c.no, c.batch, c.first, c.src, c.srcs, c.attempt, c.crashes, c.format, u.succeeded, u.failed, u.outputs, u.indexes::bigint[] as indexes
    from unnest(${nos}, ${sql.placeholder('claims')}::uuid[], ${sql.placeholder('succeeded')}::int[],
      ${sql.placeholder('failed')}::int[], string_to_array(${sql.placeholder('outputs')}::text, E'\\x1e'),
      string_to_array(${sql.placeholder('indexes')}::text, ';', '')) u(no, claim, succeeded, failed, outputs, indexes)
    join chunks c on c.no = u.no and c.claim = u.claim
    where c.no = any(${nos}) and c.state || '' = 'running' order by c.no for update of c`);
  const done = db.$with('done', {}).as(sql`
    update chunks c set state = 'done', size = f.succeeded + f.failed, picks = null from fin f where c.no = f.no`);
  const back = db.$with('back', {}).as(sql`
    select f.batch, f.crashes, f.format, u.attempt = f.attempt as is_unstarted, u.first, u.size, u.picks::bigint[] as picks, u.attempt, u.delay_ms, u.srcs::bigint[] as srcs, u.grp
    from unnest(${sql.placeholder('restNos')}::bigint[], ${sql.placeholder('restFirsts')}::bigint[], ${sql.placeholder('restSizes')}::int[],
      string_to_array(${sql.placeholder('restPicks')}::text, ';', ''), ${sql.placeholder('restAttempts')}::smallint[],
      ${sql.placeholder('restDelays')}::float8[], string_to_array(${sql.placeholder('restSrcs')}::text, ';', ''),
      ${sql.placeholder('restGroups')}::int[]) u(no, first, size, picks, attempt, delay_ms, srcs, grp)
    join fin f on f.no = u.no`);
  const rest = db.$with('rest', {}).as(sql`
    insert into chunks (batch, first, size, src, srcs, picks, attempt, crashes, format, not_before)
    select batch, first, size, case when cardinality(srcs) = 1 then srcs[1] end, case when cardinality(srcs) > 1 then srcs end,
      picks, attempt, crashes, format,
      case when delay_ms > 0 then clock_timestamp() + make_interval(secs => delay_ms / 1000) end
    from (
      select batch, crashes, format, first, size, picks, attempt, delay_ms, srcs from back where grp is null
      union all
      select batch, crashes, format, min(i), count(*), case when max(i) - min(i) >= count(*) then array_agg(i order by i) end,
        attempt, delay_ms, min(srcs)
      from back cross join unnest(coalesce(picks, array(select generate_series(first, first + size - 1)))) i
      where grp is not null group by batch, crashes, format, attempt, delay_ms, grp) r`);
  const inserted = db.$with('inserted', {}).as(sql`
    insert into ${results} (batch, index, finished_at, status, attempt, output, error, src, fingerprint)
    select o.batch, o.index, now(), 1, o.attempt, o.output::json, null::json, null::bigint, null
    from (
      select f.batch, f.attempt, unnest(t.texts) as output,
        unnest(coalesce(f.indexes, array(select generate_series(f.first, f.first + cardinality(t.texts) - 1)))) as index
      from fin f cross join lateral (select string_to_array(f.outputs, ${separator}) as texts offset 0) t) o
    union all
    select f.batch, x.index, now(), 2, f.attempt, null, x.error::json,
      coalesce(f.src, (select max(s) from unnest(f.srcs) s where s <= x.index)), x.fingerprint
    from unnest(${sql.placeholder('failureNos')}::bigint[], ${sql.placeholder('failureIndexes')}::bigint[],
      string_to_array(${sql.placeholder('failureErrors')}::text, ${separator}), ${sql.placeholder('failureFingerprints')}::text[]) x(no, index, error, fingerprint) join fin f on f.no = x.no`);
  const reduced = db.$with('reduced', {}).as(sql`
    insert into ${partials} (batch, partial)
    select f.batch, x.partial::json from unnest(${sql.placeholder('partialNos')}::bigint[],
      string_to_array(${sql.placeholder('partials')}::text, ${separator})) x(no, partial) join fin f on f.no = x.no`);
  const { locked, counted } = countOutcomes(db, 'fin', { back: 'back' });
  const query = db
    .with(fin, back, locked, counted, done, rest, reduced, inserted)
    .select({ no: fin.no, batch: fin.batch })
    .from(fin)
    .prepare('flush');

  return (settled: readonly Settled[]): Promise<Flushed[]> => {
    const rests = placeRests(settled.flatMap(({ no, rests }) => rests.map((rest) => ({ ...rest, no }))));
    const failures = settled.flatMap(({ no, failures }) => failures.map((failure) => ({ no, ...failure })));
    const reduced = settled.flatMap(({ no, partial }) => (partial == null ? [] : [{ no, partial }]));
    return query.execute({
      nos: list(settled.map((each) => each.no)),
      claims: list(settled.map((each) => each.claim)),
      succeeded: list(settled.map((each) => each.succeeded)),
      failed: list(settled.map((each) => each.failures.length)),
      outputs: settled.map((each) => each.outputs).join('\u001e'),
      indexes: lists(settled.map((each) => each.indexes)),
      failureNos: list(failures.map(({ no }) => no)),
      failureIndexes: list(failures.map(({ index }) => index)),
      failureErrors: jsonTexts(failures.map(({ error }) => JSON.stringify(error))),
      partialNos: list(reduced.map(({ no }) => no)),
      partials: jsonTexts(reduced.map(({ partial }) => partial)),
      failureFingerprints: list(failures.map(({ error }) => fingerprintOf(error))),
      restNos: list(rests.map((rest) => rest.no)),
      restFirsts: list(rests.map((rest) => rest.first)),
      restSizes: list(rests.map((rest) => rest.size)),
      restPicks: lists(rests.map((rest) => rest.picks)),
      restAttempts: list(rests.map((rest) => rest.attempt)),
      restDelays: list(rests.map((rest) => rest.delayMs)),
      restSrcs: lists(rests.map((rest) => rest.srcs)),
      restGroups: list(rests.map((rest) => rest.group ?? 'null')),
    });
  };
}
