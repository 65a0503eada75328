import { sql } from 'drizzle-orm';
import type { TestDatabase } from './database.ts';
import { findGaps, findInversions, type PlacedItem, type Run } from './order.ts';

type Queryable = Pick<TestDatabase, 'db'>;

/**
 * Makes the tables that the handler `grouped` uses, and one of the places that rows of lines are given. The former stand with the
 * witness where it is another database: that of the workers' WITNESS_URL.
 */
export async function createAttempts({ db }: Queryable, { db: seen }: Queryable = { db }): Promise<void> {
  await seen.execute(sql`create table attempts (no bigint generated always as identity primary key, run uuid not null, batch uuid not null,
    key text not null, index bigint not null, attempt int not null, phase text not null)`);
  await seen.execute(sql`create index on attempts (batch)`);
  await seen.execute(sql`create table forgiven (batch uuid primary key)`);
  await db.execute(
    sql`create table places (batch int not null, place bigint not null, src bigint not null, picks bigint[])`,
  );
  await db.execute(sql`create index on places (batch)`);
  await db.execute(sql`create function record_place() returns trigger language plpgsql as $$ begin
    insert into places values (new.batch, new.place, new.src, new.picks); return null; end $$`);
  await db.execute(
    sql`create trigger record_place after insert on chunks for each row when (new.line is not null) execute function record_place()`,
  );
}

/** From now on items of the batch that fail until then succeed. */
export async function forgive({ db }: Queryable, batch: string): Promise<void> {
  await db.execute(sql`insert into forgiven values (${batch}) on conflict do nothing`);
}

const list = (ids: readonly string[]) => sql`string_to_array(${ids.join(',')}::text, ',')::uuid[]`;

/** Items of keyed batches: where each stands in its line, since it was tried again by hand the last time, and what it has come to. */
export async function readItems({ db }: Queryable, batches: readonly string[]): Promise<PlacedItem[]> {
  const rows = await db.execute(sql`
    with placed as (
      select distinct on (b.no, i.indexes[e.n::int]) b.id as batch, b.no, p.place, i.indexes[e.n::int] as index, e.input->>'key' as key
      from batches b join places p on p.batch = b.no join inputs i on i.batch = b.no and i.first = p.src
        cross join lateral json_array_elements(i.items::json) with ordinality e(input, n)
      where b.id = any(${list(batches)}) and (p.picks is null or i.indexes[e.n::int] = any(p.picks))
      order by b.no, i.indexes[e.n::int], p.place desc)
    select p.batch, p.key, p.place::float8 as place, p.index::float8 as index, r.attempt, coalesce(r.output->>'run', r.error->>'message') as run
    from placed p left join results r on r.batch = p.no and r.index = p.index`);
  return rows as unknown as PlacedItem[];
}

async function readRuns({ db }: Queryable, batches: readonly string[]): Promise<Run[]> {
  const rows = await db.execute(sql`
    select run as id, batch, index::float8 as index, attempt, min(no) filter (where phase = 'start')::float8 as start, max(no) filter (where phase = 'end')::float8 as end
    from attempts where batch = any(${list(batches)}) group by run, batch, index, attempt`);
  return rows as unknown as Run[];
}

export interface OrderFacts {
  /** Items that are final. */
  committed: number;
  /** Items whose attempts began before those of the item before it in its group were over, or were not seen: a line for each. */
  inversions: string[];
  /** Groups of which the committed items are not the first ones: a later one was committed before an earlier one. */
  gaps: string[];
  /** Attempts that began. */
  runs: number;
  /** Of these, those that never ended. */
  cut: number;
  /** Of these, those that ended, and another run of the same attempt counted. */
  lost: number;
}

/** What the tables say of the order of groups: of all batches, and with the witness in the same database, unless said otherwise. */
export async function readOrder(
  database: Queryable,
  { batches, witness = database }: { batches?: readonly string[]; witness?: Queryable } = {},
): Promise<OrderFacts> {
  const ids = batches ?? (await idsOf(database));
  const [items, runs] = [await readItems(database, ids), await readRuns(witness, ids)];
  const attempts = new Set(
    runs.filter(({ end }) => end !== null).map((run) => `${run.batch}:${run.index}:${run.attempt}`),
  );
  const cut = runs.filter(({ end }) => end === null).length;
  return {
    committed: items.filter(({ run }) => run !== null).length,
    inversions: findInversions(items, runs),
    gaps: findGaps(items),
    runs: runs.length,
    cut,
    lost: runs.length - cut - attempts.size,
  };
}

async function idsOf({ db }: Queryable): Promise<string[]> {
  const rows = await db.execute<{ id: string }>(sql`select id from batches`);
  return rows.map(({ id }) => id);
}
