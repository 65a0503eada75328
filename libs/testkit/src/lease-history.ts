import { sql } from 'drizzle-orm';
import type { TestDatabase } from './database.ts';

/** A partition changed hands. Times are the database's, in ms; `owner` null: it was given back. */
interface Change {
  no: number;
  at: number;
  before: string | null;
  expiresBefore: number | null;
  owner: string | null;
  epochBefore: number;
  epoch: number;
}

/** A partition that went from one owner to another, or back to the same, and how long nobody was at it. */
export interface Move {
  no: number;
  how: 'drain' | 'expiry';
  /** From the return, or from the last renewal of an owner that vanished, to the next owner. */
  idleMs: number;
}

/** Writes down from now on every change of an owner, by a trigger in the test's database. */
export async function recordLeases({ db }: TestDatabase): Promise<void> {
  await db.execute(sql`create table lease_history (
    id bigint generated always as identity primary key, no smallint, at timestamptz default clock_timestamp(),
    before uuid, expires_before timestamptz, owner uuid, epoch_before bigint, epoch bigint)`);
  await db.execute(sql`create function record_lease() returns trigger language plpgsql as $$ begin
    insert into lease_history (no, before, expires_before, owner, epoch_before, epoch)
    values (new.no, old.owner, old.expires_at, new.owner, old.epoch, new.epoch); return null; end $$`);
  await db.execute(sql`create trigger record_lease after update on partitions for each row
    when (old.owner is distinct from new.owner or old.epoch <> new.epoch) execute function record_lease()`);
}

/** What the history says: `faults` is empty when every partition had one owner at most at any time. `leaseMs`: that of the workers. */
export async function leaseHistory(
  { db }: TestDatabase,
  leaseMs: number,
): Promise<{ faults: string[]; moves: Move[] }> {
  const ms = (column: string) => sql.raw(`extract(epoch from ${column})::float8 * 1000`);
  const changes = (await db.execute(sql`
    select no, ${ms('at')} as at, before, ${ms('expires_before')} as "expiresBefore", owner,
      epoch_before::int as "epochBefore", epoch::int as epoch
    from lease_history order by id`)) as unknown as Change[];
  const faults: string[] = [];
  const moves: Move[] = [];
  const freeSince = new Map<number, number>();
  for (const change of changes) {
    faults.push(...faultsOf(change));
    const { no, at, before, expiresBefore, owner } = change;
    if (owner === null) freeSince.set(no, at);
    else if (before !== null && expiresBefore !== null)
      moves.push({ no, how: 'expiry', idleMs: at - (expiresBefore - leaseMs) });
    else if (freeSince.has(no)) moves.push({ no, how: 'drain', idleMs: at - freeSince.get(no)! });
  }
  return { faults, moves };
}

function faultsOf({ no, at, before, expiresBefore, owner, epochBefore, epoch }: Change): string[] {
  const faults: string[] = [];
  if (owner === null) {
    if (epoch !== epochBefore)
      faults.push(`partition ${no}: a return changed the epoch from ${epochBefore} to ${epoch}`);
    return faults;
  }
  if (epoch !== epochBefore + 1)
    faults.push(`partition ${no}: epoch ${epoch} after ${epochBefore}, when ${owner} took it`);
  if (before !== null && before !== owner && (expiresBefore === null || expiresBefore > at))
    faults.push(`partition ${no}: ${owner} took it while ${before} had it`);
  return faults;
}
