import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { names, numbersOf } from '../bind.ts';
import { chunks, inputs } from '../schema.ts';
import { heldPartition } from './line-fence.ts';

/** A chunk of a line in its owner's hand. */
export interface ClaimedRow {
  no: number;
  batch: number;
  /** Its order in the line. */
  place: number;
  first: number;
  /** Items that are left of it. */
  size: number;
  /** Their indexes; null: all of its inputs. */
  picks: number[] | null;
  /** Index of each element of its inputs. */
  indexes: number[];
  /** JSON text: a list of the inputs. */
  items: string;
  /** The attempt that its items are on, but for those in `tries`. */
  attempt: number;
  /** Items that are tried again: [index, attempt, ms from now, what ended the last attempt where that ended its process]. */
  tries: Try[];
  round: number;
  /** Workers that died with it. */
  crashes: number;
  format: number;
}

/** What is kept of an item that is tried again. */
export type Try = readonly [number, number, number, { code: string; message: string }?];

export interface LineClaim {
  /** The line: a batch, and a partition that the worker owns under this lease. */
  batch: number;
  line: number;
  lease: string;
  /** Place of the last row in hand; −1: none is. */
  after: number;
  rows: number;
  claim: string;
  worker: string;
  handlers: readonly string[];
}

/**
 * Claim of a line: the owner of a partition takes the next rows past its cursor, whatever their state: pending, queued, or running
 * under anyone, for past the cursor nothing is in anybody's hands. So it never skips a row, and takeover, lost replies and
 * orphans are all the same claim from the start of the line. What ran under another worker counts a crash.
 *
 * Repeatable under the same claim id and cursor: the same rows again, perhaps more. A late copy may stamp rows that are in hand
 * by then: their flush is refused as a whole, and the line is claimed anew.
 *
 * Where the batch does not run, or the worker does not have its handler, the rows go back to `pending` and none is answered.
 */
export function prepareClaimLine(db: Database) {
  const batch = sql`${sql.placeholder('batch')}::int`;
  const claim = sql`${sql.placeholder('claim')}::uuid`;
  const worker = sql`${sql.placeholder('worker')}::uuid`;
  const held = heldPartition(db);
  const open = db.$with('open', {}).as(sql`
    select c.no from held cross join lateral (
      select no from chunks c
      where c.batch = ${batch} and c.line = held.no and c.line is not null and c.state <> 'done' and c.place > ${sql.placeholder('after')}::bigint
      order by c.place limit ${sql.placeholder('rows')}::int) c`);
  const taken = db
    .$with('taken', {
      no: chunks.no, batch: chunks.batch, place: chunks.place, first: chunks.first, size: chunks.size, src: chunks.src, picks: chunks.picks,
      attempt: chunks.attempt, tries: chunks.tries, round: chunks.round, crashes: chunks.crashes, format: chunks.format, state: chunks.state,
      agoMs: sql<number>`ago_ms`.as('ago_ms'),
    }) // prettier-ignore
    .as(sql`
      update chunks c set state = case when b.ok then 'running' else 'pending' end, partition = c.line,
        claim = case when b.ok then ${claim} end, worker = case when b.ok then ${worker} end, claimed_at = clock_timestamp(), not_before = null,
        crashes = c.crashes + case when c.state = 'running' and c.worker <> ${worker} then 1 else 0 end
      from (select state = 'running' and handler = any(${sql.placeholder('handlers')}::text[]) as ok from batches where no = ${batch}) b
      where c.no = any(array(select no from open order by no)) and c.state <> 'done'
      returning c.no, c.batch, c.place, c.first, c.size, c.src, c.picks, c.attempt, c.tries, c.round, c.crashes, c.format, c.state,
        (extract(epoch from clock_timestamp() - c.tried_at) * 1000)::float8 as ago_ms`);
  const query = db
    .with(held, open, taken)
    .select({
      no: taken.no,
      batch: taken.batch,
      place: sql<number>`${taken.place}`.mapWith(Number),
      first: taken.first,
      size: taken.size,
      picks: taken.picks,
      indexes: sql<string>`${inputs.indexes}::text`,
      items: inputs.items,
      attempt: taken.attempt,
      tries: sql<ClaimedRow['tries'] | null>`${taken.tries}`,
      agoMs: taken.agoMs,
      round: taken.round,
      crashes: taken.crashes,
      format: taken.format,
    }) // prettier-ignore
    .from(taken)
    .innerJoin(inputs, sql`${inputs.batch} = ${batch} and ${inputs.first} = ${taken.src}`)
    .where(sql`${taken.state} = 'running'`)
    .orderBy(taken.place)
    .prepare('claim_line');

  return async ({ handlers, ...request }: LineClaim): Promise<ClaimedRow[]> => {
    const rows = await query.execute({ ...request, handlers: names(handlers) });
    return rows.map(({ agoMs, tries, indexes, ...row }) => ({
      ...row,
      indexes: numbersOf(indexes),
      tries: (tries ?? []).map(([index, attempt, waitMs, ...ended]) => [
        index,
        attempt,
        Math.max(0, waitMs - agoMs),
        ...ended,
      ]),
    }));
  };
}
