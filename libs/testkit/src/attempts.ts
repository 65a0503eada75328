import { sql } from 'drizzle-orm';
import type { TestDatabase } from './database.ts';

/** Makes the table that the handler `grouped` writes into. */
export async function createAttempts({ db }: Pick<TestDatabase, 'db'>): Promise<void> {
  await db.execute(sql`create table attempts (no bigint generated always as identity primary key, run uuid not null, batch uuid not null,
    key text not null, index bigint not null, attempt int not null, phase text not null)`);
  await db.execute(sql`create index on attempts (run)`);
}

export interface OrderFacts {
  /** Items of which the attempt that was committed is known. */
  committed: number;
  /** Of these, attempts that began before the committed one of the item before it in its group had ended. */
  inversions: number;
  /** Groups of which the committed items are not the first ones: a later one was committed before an earlier one. */
  gaps: number;
}

/** What the table and the results say of the order of groups. */
export async function readOrder({ db }: Pick<TestDatabase, 'db'>): Promise<OrderFacts> {
  const [row] = (await db.execute(sql`
    with committed as (
      select r.batch, a.key, r.index, min(a.no) filter (where a.phase = 'start') as start_no, max(a.no) filter (where a.phase = 'end') as end_no
      from results r join attempts a on a.run = (r.output->>'run')::uuid where r.status = 1 group by 1, 2, 3),
    ordered as (select *, max(end_no) over (partition by batch, key order by index rows between unbounded preceding and 1 preceding) as before from committed),
    known as (select b.no as batch, a.key, a.index from attempts a join batches b on b.id = a.batch group by 1, 2, 3),
    first_open as (
      select k.batch, k.key, min(k.index) filter (where r.index is null) as open, max(k.index) filter (where r.index is not null) as final
      from known k left join results r on r.batch = k.batch and r.index = k.index group by 1, 2)
    select (select count(*)::int from committed) as committed,
      (select count(*)::int from ordered where start_no < before) as inversions,
      (select count(*)::int from first_open where open < final) as gaps`)) as unknown as OrderFacts[];
  return row!;
}
