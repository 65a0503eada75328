import type { CountsAudit, MigrationState, ServerFacts, WaitFacts } from '@bullpen/db';
import { countText, durationText, itemsText } from '../text/numbers.ts';
import { bad, ok, warn, type Finding } from './finding.ts';

/** Only what people see depends on the clocks: leases run on the database's, deadlines on each machine's own steady one. */
const clockWarnMs = 1000;
const roundTripWarnMs = 20;

export function judgeServer(facts: ServerFacts, roundTripMs: number, place: string): Finding[] {
  const found = `${facts.version} at ${place}, ${roundTripMs} ms a round trip`;
  const far = roundTripMs > roundTripWarnMs;
  const reach = facts.replica
    ? bad('postgres', `${found}; it is a replica and takes no writes`, 'let DATABASE_URL point to the primary')
    : far
      ? warn('postgres', `${found}: chunks wait for it`, 'WORKER_CHUNKS=64 pnpm worker   or run the workers near it')
      : ok('postgres', found);
  return [reach, judgeClock(facts.clockAheadMs, roundTripMs)];
}

function judgeClock(aheadMs: number, roundTripMs: number): Finding {
  const apart = durationText(Math.abs(aheadMs));
  if (Math.abs(aheadMs) - roundTripMs <= clockWarnMs) return ok('clock', `${apart} from the database's`);
  const found = `${apart} ${aheadMs > 0 ? 'behind' : 'ahead of'} the database's: ages that are shown here are wrong by that, work is not`;
  return warn('clock', found, 'timedatectl set-ntp true');
}

/** What all pools may open together, with ten left to people and other programs. */
export interface PoolPlan {
  workers: number;
  producers: number;
  poolMax: number;
  /** Connections of each process for queues in PostgreSQL. */
  forQueues: number;
}

const spare = 10;

export function judgeConnections(
  { connections }: ServerFacts,
  { workers, producers, poolMax, forQueues }: PoolPlan,
): Finding[] {
  const { max, used, byName } = connections;
  const sum = (workers + producers) * (poolMax + forQueues);
  const each =
    forQueues === 0 ? `DATABASE_POOL_MAX ${poolMax}` : `(DATABASE_POOL_MAX ${poolMax} + ${forQueues} for the queues)`;
  const terms = `(${itemsText(workers, 'worker')} + ${itemsText(producers, 'producer')}) × ${each} = ${sum}`;
  const room = `of ${max} − ${spare} connections`;
  const enough = Math.ceil((sum + spare) / 50) * 50;
  const pools =
    sum <= max - spare
      ? ok('connections', `${terms} ${room}`)
      : bad(
          'connections',
          `${terms}, more than the ${max} − ${spare} of max_connections`,
          `psql "$DATABASE_URL" -c "ALTER SYSTEM SET max_connections = ${enough}"   and restart PostgreSQL, or lower DATABASE_POOL_MAX`,
        );
  const now = `${used} of ${max} in use: ${namesText(byName)}`;
  if (used <= max - spare) return [pools, ok('connections now', now)];
  return [pools, bad('connections now', now, 'stop what is not Bullpen, or lower DATABASE_POOL_MAX and restart')];
}

/** Workers have a name of their own each; they are shown together. */
function namesText(byName: ServerFacts['connections']['byName']): string {
  const groups = new Map<string, number>();
  for (const { name, count } of byName) {
    const group = /^bullpen (\w+)/.exec(name)?.[1] ?? 'others';
    groups.set(group, (groups.get(group) ?? 0) + count);
  }
  return [...groups].map(([name, count]) => `${name} ${count}`).join(', ') || 'none in this database';
}

export function judgeWaits({ lockWaits, blocked, idle }: WaitFacts): Finding[] {
  const findings = blocked.map(({ pid, name, ms, blockers }) =>
    bad(
      'locks',
      `"${name}" (pid ${pid}) has waited for ${durationText(ms)} for the session${blockers.length > 1 ? 's' : ''} ${blockers.join(', ')}`,
      `psql "$DATABASE_URL" -c "SELECT pg_terminate_backend(${blockers[0]})"`,
    ),
  );
  const idling = idle.map(({ pid, name, ms }) =>
    warn(
      'locks',
      `"${name}" (pid ${pid}) has kept a transaction open for ${durationText(ms)} without doing anything`,
      `psql "$DATABASE_URL" -c "SELECT pg_terminate_backend(${pid})"`,
    ),
  );
  const all = [...findings, ...idling];
  return all.length > 0
    ? all
    : [ok('locks', `${itemsText(lockWaits, 'session')} wait${lockWaits === 1 ? 's' : ''} now, none for long`)];
}

export function judgeMigrations({ missing, newer }: MigrationState): Finding {
  if (missing.length > 0) {
    return bad(
      'migrations',
      `${missing.length} missing: ${missing.join(', ')}`,
      'pnpm db:migrate   (every start does it too)',
    );
  }
  if (newer) return warn('migrations', 'the database is newer than this version', 'git pull && npm run check');
  return ok('migrations', 'up to date');
}

export function judgeCounts(audit: CountsAudit | null, withinMs: number): Finding[] {
  if (audit === null) {
    const found = `could not be added up within ${durationText(withinMs)}`;
    return [
      warn('counts', found, 'psql "$DATABASE_URL" -c "VACUUM ANALYZE bullpen.chunks"   and ask again when less runs'),
    ];
  }
  const { batches, faults } = audit;
  if (faults.length === 0)
    return [
      ok('counts', `${itemsText(batches, 'batch', 'batches')} looked at, all equal to the sums over their chunks`),
    ];
  const first = faults
    .slice(0, 3)
    .map(({ id, what }) => bad('counts', `batch ${id}: ${what}`, `pnpm bullpen show ${id}`));
  if (faults.length <= 3) return first;
  return [...first, bad('counts', `and ${countText(faults.length - 3)} faults more`, 'pnpm bullpen doctor --json')];
}
