import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { fingerprintOf } from '../fingerprint.ts';
import { chunks, results } from '../schema.ts';
import { suspectFrom } from './claim.ts';
import { countOutcomes } from './count-outcomes.ts';

/** A chunk that was taken from a worker, and what became of it. */
export interface Repaired {
  no: number;
  size: number;
  fate: 'waits' | 'split' | 'failed';
}

/**
 * What an item fails with whose workers died. A suspect runs alone (claim.ts), so that what dies with it is its own doing.
 */
const workerLost = { code: 'worker-lost', message: 'the worker died each time it ran this item' };
/** Died alone once: one of its items is to blame, and each gets a chunk of its own. */
const splitFrom = suspectFrom + 1;
/** Died alone twice: a single item fails. */
const failsFrom = suspectFrom + 2;

/**
 * Repair: what runs under a worker that is gone waits again, with one crash more.
 *
 * Repeatable: what it freed is not running any more. If the worker lives after all, its late flush is fenced.
 *
 * A worker is gone when it was not seen for a lease. A server that was down says nothing about the workers: time counts
 * from its start at the earliest. The caller runs this only after its own loop has run for a lease without a gap, for
 * a process that was stopped and goes on would else judge by what it slept through. A server may be stopped too, as a
 * machine is that moves, with this statement on its way: it takes nothing half a lease after `askedAt`, the
 * database's time a moment before it was sent. Null: it is not looked at.
 *
 * At two crashes a chunk is a suspect and runs alone. At three a worker has died with it alone: a chunk of several
 * items is replaced by one chunk for each, which are suspects anew. At four a single item has twice killed the worker
 * that ran nothing else, and fails as `worker-lost`. So a poison item costs five crashes at most, in a chunk of any size
 * (four by itself). Were its neighbours to keep the third crash, one more would fail an innocent one: a worker of an
 * overloaded machine that was silent for a lease did that in one of two trials. Splitting at two crashes, by the
 * square root, costs 32 runs alone instead of one for each innocent chunk of 1 000 that was twice in hand when
 * somebody typed `kill -9`.
 *
 * A chunk of a line keeps its place: it is never split, and its owner runs its items one by one elsewhere (apps/worker/src/lines).
 *
 * One statement, since a chunk that waits unsplit between two of them would be published, and kill once more.
 */
export function prepareRepair(db: Database) {
  const lease = sql`make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)`;
  const isLate = sql`clock_timestamp() > to_timestamp(${sql.placeholder('askedAt')}::float8 / 1000) + ${lease} / 2`;
  const gone = sql`(w.id is null or greatest(w.seen, pg_postmaster_start_time()) < clock_timestamp() - ${lease}) and (${isLate}) is not true`;
  const query = prepareTake(db, 'repair', gone, sql`1`);
  return ({ leaseMs, askedAt = null }: { leaseMs: number; askedAt?: number | null }): Promise<Repaired[]> =>
    query.execute({ leaseMs, askedAt, ...buried });
}

/**
 * Abandon: what runs under this worker waits again, said by its watchdog before the process ends. `crashed`: it counts as
 * a crash, with what follows from that; false where the worker knows that the chunks have no part in its end.
 *
 * Repeatable: what it freed is not running any more.
 */
export function prepareAbandon(db: Database) {
  const mine = sql`c.worker = ${sql.placeholder('worker')}::uuid`;
  const query = prepareTake(db, 'abandon', mine, sql`(${sql.placeholder('crashed')}::boolean)::int`);
  return (request: { worker: string; crashed: boolean }): Promise<Repaired[]> =>
    query.execute({ ...request, ...buried });
}

const buried = { error: JSON.stringify(workerLost), fingerprint: fingerprintOf(workerLost) };

/** Takes the running chunks for which `under` holds from their workers; `charge` is what their crashes go up by. */
function prepareTake(db: Database, name: string, under: SQL, charge: SQL) {
  const taken = db.$with('taken', {}).as(sql`
    select c.*, c.crashes + ${charge} as crashed, 
      ${charge} > 0 and c.line is null and c.crashes + ${charge} >= case when c.size > 1 then ${sql.raw(String(splitFrom))} else ${sql.raw(String(failsFrom))} end as guilty
    from chunks c left join workers w on w.id = c.worker
    where c.state = 'running' and ${under} order by c.no for update of c skip locked`);
  const fate = db.$with('fate', { no: chunks.no, size: chunks.size, fate: sql<Repaired['fate']>`fate`.as('fate'), batch: chunks.batch }).as(sql`
    select no, size, batch, case when not guilty then 'waits' when size > 1 then 'split' else 'failed' end as fate from taken`); // prettier-ignore
  const put = db.$with('put', {}).as(sql`
    update chunks c set claim = null, worker = null, crashes = t.crashed,
      state = case when t.guilty then 'done' else 'pending' end,
      size = case when not t.guilty then c.size when c.size = 1 then 1 else 0 end,
      picks = case when not t.guilty then c.picks end
    from taken t where c.no = t.no`);
  const src = sql`coalesce(t.src, (select max(s) from unnest(t.srcs) s where s <= i))`;
  const items = sql`unnest(coalesce(t.picks, array(select generate_series(t.first, t.first + t.size - 1)))) i`;
  const split = db.$with('split', {}).as(sql`
    insert into chunks (batch, first, size, src, attempt, crashes, format)
    select t.batch, i, 1, ${src}, t.attempt, ${sql.raw(String(suspectFrom))}, t.format from taken t cross join ${items} where t.guilty and t.size > 1`);
  const failed = db.$with('buried', {}).as(sql`
    select t.batch, 0 as succeeded, 1 as failed, i as index, t.attempt, ${src} as src
    from taken t cross join ${items} where t.guilty and t.size = 1`);
  const inserted = db.$with('inserted', {}).as(sql`
    insert into ${results} (batch, index, finished_at, status, attempt, error, src, fingerprint)
    select batch, index, now(), 2, attempt, ${sql.placeholder('error')}::text::json, src, ${sql.placeholder('fingerprint')}::text from buried
    returning 1`);
  const { locked, counted } = countOutcomes(db, 'buried', { written: ['inserted'] });
  return db
    .with(taken, fate, put, split, failed, inserted, locked, counted)
    .select({ no: fate.no, size: fate.size, fate: fate.fate, durable: counted.durable })
    .from(fate)
    .leftJoin(counted, sql`${counted.no} = ${fate.batch}`)
    .prepare(name);
}
