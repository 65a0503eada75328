import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { list, names } from '../bind.ts';
import { chunks, inputs } from '../schema.ts';

export interface Claimed {
  no: number;
  batch: number;
  first: number;
  size: number;
  picks: number[] | null;
  attempt: number;
  /** Workers that died with it. */
  crashes: number;
  format: number;
  /** False: it is a suspect and was left queued, because it was not claimed alone. */
  taken: boolean;
  /** In order; item i is in the last that starts at or before it. None in a count batch. */
  inputs: readonly Inputs[];
}

/** Inputs that stand together: text of a JSON array, whose element 0 is item `first`. */
export interface Inputs {
  first: number;
  items: string;
}

export interface ClaimRequest {
  nos: readonly number[];
  claim: string;
  worker: string;
  handlers: readonly string[];
  /** Batches of these chunks, where all are known: a hint. Default null. */
  batches?: readonly number[] | null;
  /** The worker has nothing else in hand and will take nothing: suspects may be claimed too. Default true. */
  alone?: boolean;
}

/** A chunk with which this many workers died runs alone from then on, so that no innocent chunk dies with it again. */
export const suspectFrom = 2;

/**
 * Claim: a worker takes queued chunks, many in one statement, under a claim id that it made for this statement.
 *
 * Repeatable under the same claim id: what it already took is answered again. Whoever comes second gets no row.
 *
 * A chunk whose batch does not run, or whose handler the worker does not have, goes back to `pending` in the same
 * statement. A suspect that is not claimed alone stays queued and is answered as not taken. Ids are locked in order, so
 * that two claims cannot deadlock. Inputs come along, a row each: no other read is needed.
 *
 * The batches, as a parameter, let the planner leave out the tables of all other inputs, 14 µs each. Where they turn out to be
 * wrong the claim is asked for again without them.
 */
export function prepareClaim(db: Database) {
  const claim = sql`${sql.placeholder('claim')}::uuid`;
  const batches = sql`${sql.placeholder('batches')}::int[]`;
  const asked = db.$with('asked', { no: chunks.no }).as(sql`
    select no, ok, ok and crashes >= ${sql.raw(String(suspectFrom))} and not ${sql.placeholder('alone')}::boolean as suspect
    from (
      select c.no, c.crashes, b.state = 'running' and b.handler = any(${sql.placeholder('handlers')}::text[]) as ok
      from chunks c join batches b on b.no = c.batch
      where c.no = any(${sql.placeholder('nos')}::bigint[]) and (c.state = 'queued' or (c.state = 'running' and c.claim = ${claim}))
      order by c.no for update of c) x`);
  const taken = db
    .$with('taken', {
      no: chunks.no, batch: chunks.batch, first: chunks.first, size: chunks.size, src: chunks.src, srcs: chunks.srcs,
      picks: chunks.picks, attempt: chunks.attempt, crashes: chunks.crashes, format: chunks.format, state: chunks.state,
    }) // prettier-ignore
    .as(sql`
      update chunks c set state = case when a.suspect then c.state when a.ok then 'running' else 'pending' end,
        claim = case when a.ok and not a.suspect then ${claim} end,
        worker = case when a.ok and not a.suspect then ${sql.placeholder('worker')}::uuid end,
        claimed_at = clock_timestamp()
      from asked a where c.no = a.no
      returning c.no, c.batch, c.first, c.size, c.src, c.srcs, c.picks, c.attempt, c.crashes, c.format, c.state`);
  const query = db
    .with(asked, taken)
    .select({
      no: taken.no,
      batch: taken.batch,
      first: taken.first,
      size: taken.size,
      picks: taken.picks,
      attempt: taken.attempt,
      crashes: taken.crashes,
      format: taken.format,
      taken: sql<boolean>`${taken.state} = 'running'`,
      inputsFirst: inputs.first,
      items: inputs.items,
    }) // prettier-ignore
    .from(taken)
    .leftJoin(
      inputs,
      sql`${taken.state} = 'running' and ${inputs.batch} = ${taken.batch} and (${batches} is null or ${inputs.batch} = any(${batches})) and ${inputs.first} = any(coalesce(${taken.srcs}, array[${taken.src}]))`,
    )
    .where(sql`${taken.state} <> 'pending'`)
    .orderBy(taken.no, inputs.first)
    .prepare('claim');

  return async ({ nos, handlers, batches = null, alone = true, ...request }: ClaimRequest): Promise<Claimed[]> => {
    const asked = { ...request, alone, nos: list(nos), handlers: names(handlers) };
    const rows = await query.execute({ ...asked, batches: batches && list(batches) });
    const isWrong = batches !== null && rows.some(({ batch }) => !batches.includes(batch));
    return claimedOf(isWrong ? await query.execute({ ...asked, batches: null }) : rows);
  };
}

type Row = Omit<Claimed, 'inputs'> & { inputsFirst: number | null; items: string | null };

function claimedOf(rows: readonly Row[]): Claimed[] {
  const claimed: (Claimed & { inputs: Inputs[] })[] = [];
  for (const { inputsFirst, items, ...chunk } of rows) {
    if (claimed.at(-1)?.no !== chunk.no) claimed.push({ ...chunk, inputs: [] });
    if (items !== null) claimed.at(-1)!.inputs.push({ first: inputsFirst!, items });
  }
  return claimed;
}
