import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { jsonTexts, list, lists } from '../bind.ts';
import { fingerprintOf } from '../fingerprint.ts';
import { chunks, partials, results } from '../schema.ts';
import { countOutcomes } from './count-outcomes.ts';
import type { Try } from './claim-line.ts';
import type { Outcome } from './flush.ts';
import { heldPartition } from './line-fence.ts';

/** What is new of one row of a line since its last flush. */
export interface SettledRow extends Outcome {
  round: number;
  /** Attempt of each output; null: that of the row. */
  attempts: readonly number[] | null;
  /** `attempt` is left out where it is that of the row. */
  failures: readonly { index: number; attempt?: number; error: { code: string; message: string } }[];
  /** Indexes that are left of it; null: none. */
  left: readonly number[] | null;
  /** Of these, those that were tried: [index, attempt that comes, ms until then, what ended the process of the last one]. */
  tries: readonly Try[];
}

export interface LineFlush {
  line: number;
  lease: string;
  rows: readonly SettledRow[];
  /** A row of the flush before it in this turn, as that left it; of the first flush: one that the first claim of the turn took. */
  last: { no: number; claim: string; round: number };
  /** What is left stays in this worker's hand; else it waits, until `waitMs` are over. */
  keep: boolean;
  waitMs?: number;
}

/**
 * Flush of a line: results of the items that are final, in the order of their group, rows that are done, and of the others what is left:
 * the same row with fewer picks and a round more, so that its place in the line never changes. Counts and completion as in flush.ts.
 *
 * All or nothing: the lease and each claim and round must match; else another worker has the line or a part of it, and to settle the rest
 * would commit an item before one that comes first. Answers whether it was settled.
 *
 * Flushes commit without waiting for the disk, so a server that crashes can lose one that was answered: its rows are not in the hand any
 * more, and a later one would settle what comes after them. Hence each proves that the one before it is there (`last`): the log is in
 * order, so with it are all others. The first of a turn proves its first claim, which was made after all that the turn before wrote; its own
 * rows may be of a later claim, made after the crash. A claim that is lost between two flushes needs no proof: nothing of its rows is
 * settled before they are in a flush, and that is refused.
 *
 * Repeatable: the round has moved on, nothing is written, and the answer is the same. One is in flight for a line.
 *
 * Chunks are named twice, by the join and as a list, and their state is judged after it: a plan that is made while there are few, and
 * kept, otherwise reads all chunks, or all that run, with each flush.
 */
export function prepareFlushLine(db: Database) {
  const separator = sql`E'\\x1f'`;
  const keep = sql`${sql.placeholder('keep')}::boolean`;
  const nos = sql`${sql.placeholder('nos')}::bigint[]`;
  const held = heldPartition(db);
  const asked = db.$with('asked', {}).as(sql`
    select no, claim, round, succeeded, failed, outputs, indexes::bigint[] as indexes, attempts::smallint[] as attempts, rest::bigint[] as rest, tries::json as tries
    from unnest(${nos}, ${sql.placeholder('claims')}::uuid[], ${sql.placeholder('rounds')}::int[], ${sql.placeholder('succeeded')}::int[],
      ${sql.placeholder('failed')}::int[], string_to_array(${sql.placeholder('outputs')}::text, E'\\x1e'),
      string_to_array(${sql.placeholder('indexes')}::text, ';', ''), string_to_array(${sql.placeholder('attempts')}::text, ';', ''),
      string_to_array(${sql.placeholder('rests')}::text, ';', ''), string_to_array(${sql.placeholder('tries')}::text, ${separator}, ''))
      u(no, claim, round, succeeded, failed, outputs, indexes, attempts, rest, tries)`);
  const got = db.$with('got', {}).as(sql`
    select c.no, c.batch, c.src, c.attempt, c.state, a.succeeded, a.failed, a.outputs, a.indexes, a.attempts, a.rest, a.tries
    from held, asked a join chunks c on c.no = a.no and c.claim = a.claim and c.round = a.round
    where c.no = any(${nos}) and exists (select from chunks p where p.no = ${sql.placeholder('lastNo')}::bigint
      and p.claim = ${sql.placeholder('lastClaim')}::uuid and p.round = ${sql.placeholder('lastRound')}::int)
    order by c.no for update of c`);
  const fin = db.$with('fin', { no: chunks.no, batch: chunks.batch }).as(sql`
    select * from got where state = 'running'
      and (select count(*) from got where state = 'running') = ${sql.placeholder('count')}::int`);
  const done = db.$with('done', {}).as(sql`
    update chunks c set
      state = case when f.rest is null then 'done' when ${keep} then 'running' else 'pending' end,
      size = case when f.rest is null then c.settled + f.succeeded + f.failed else c.size - f.succeeded - f.failed end,
      settled = case when f.rest is null then 0 else c.settled + f.succeeded + f.failed end,
      picks = f.rest, round = c.round + 1, tries = f.tries, tried_at = case when f.tries is not null then clock_timestamp() end,
      not_before = case when f.rest is not null and not ${keep} and ${sql.placeholder('waitMs')}::float8 > 0
        then clock_timestamp() + make_interval(secs => ${sql.placeholder('waitMs')}::float8 / 1000) end
    from fin f where c.no = f.no`);
  const inserted = db.$with('inserted', {}).as(sql`
    insert into ${results} (batch, index, finished_at, status, attempt, output, error, src, fingerprint)
    select o.batch, o.index, now(), 1, coalesce(o.attempt, o.base), o.output::json, null::json, null::bigint, null
    from (
      select f.batch, f.attempt as base, unnest(string_to_array(f.outputs, ${separator})) as output, unnest(f.indexes) as index, unnest(f.attempts) as attempt
      from fin f where f.outputs <> '') o
    union all
    select f.batch, x.index, now(), 2, coalesce(x.attempt, f.attempt), null, x.error::json, f.src, x.fingerprint
    from unnest(${sql.placeholder('failureNos')}::bigint[], ${sql.placeholder('failureIndexes')}::bigint[], ${sql.placeholder('failureAttempts')}::smallint[],
      string_to_array(${sql.placeholder('failureErrors')}::text, ${separator}), ${sql.placeholder('failureFingerprints')}::text[]) x(no, index, attempt, error, fingerprint)
    join fin f on f.no = x.no`);
  const reduced = db.$with('reduced', {}).as(sql`
    insert into ${partials} (batch, partial)
    select f.batch, x.partial::json from unnest(${sql.placeholder('partialNos')}::bigint[],
      string_to_array(${sql.placeholder('partials')}::text, ${separator})) x(no, partial) join fin f on f.no = x.no`);
  const answer = db.$with('answer', { no: chunks.no }).as(sql`
    select no from fin union all
    select c.no from asked a join chunks c on c.no = a.no and c.claim = a.claim and c.round = a.round + 1 where c.no = any(${nos})`);
  const { locked, counted } = countOutcomes(db, 'fin');
  const query = db
    .with(held, asked, got, fin, locked, counted, done, reduced, inserted, answer)
    .select({ no: answer.no })
    .from(answer)
    .prepare('flush_line');

  return async ({ line, lease, rows, last, keep, waitMs = 0 }: LineFlush): Promise<boolean> => {
    const failures = rows.flatMap(({ no, failures }) => failures.map((failure) => ({ no, ...failure })));
    const reduced = rows.flatMap(({ no, partial }) => (partial == null ? [] : [{ no, partial }]));
    const answered = await query.execute({
      line,
      lease,
      keep,
      waitMs,
      count: rows.length,
      lastNo: last.no,
      lastClaim: last.claim,
      lastRound: last.round,
      nos: list(rows.map(({ no }) => no)),
      claims: list(rows.map(({ claim }) => claim)),
      rounds: list(rows.map(({ round }) => round)),
      succeeded: list(rows.map(({ succeeded }) => succeeded)),
      failed: list(rows.map(({ failures }) => failures.length)),
      outputs: rows.map(({ outputs }) => outputs).join('\u001e'),
      indexes: lists(rows.map(({ outputs, indexes }) => (outputs === '' ? null : indexes))),
      attempts: lists(rows.map(({ attempts }) => attempts)),
      rests: lists(rows.map(({ left }) => left)),
      tries: rows.map(({ tries }) => (tries.length === 0 ? '' : JSON.stringify(tries))).join('\u001f'),
      failureNos: list(failures.map(({ no }) => no)),
      failureIndexes: list(failures.map(({ index }) => index)),
      failureAttempts: list(failures.map(({ attempt }) => attempt ?? 'null')),
      failureErrors: jsonTexts(failures.map(({ error }) => JSON.stringify(error))),
      failureFingerprints: list(failures.map(({ error }) => fingerprintOf(error))),
      partialNos: list(reduced.map(({ no }) => no)),
      partials: jsonTexts(reduced.map(({ partial }) => partial)),
    });
    return answered.length === rows.length;
  };
}
