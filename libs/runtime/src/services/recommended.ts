/** A setting of a server as it should be: so the embedded one starts, so doctor compares, so docs/operations.md says. */
export interface Recommended {
  name: string;
  value: string;
  /** Whether more than that is as good. */
  rule: 'at least' | 'exactly';
  /** Whether it takes effect only when the server starts again. */
  restart: boolean;
  why: string;
}

const setting = (
  name: string,
  rule: Recommended['rule'],
  value: string,
  when: 'at a start' | 'at a reload',
  why: string,
): Recommended => ({ name, value, rule, restart: when === 'at a start', why });

/** PostgreSQL. What a session needs beside it (jit, plan_cache_mode, synchronous_commit) our sessions say themselves. */
export const recommendedPostgres: readonly Recommended[] = [
  setting('max_connections', 'at least', '200', 'at a start', 'ten for each process, and ten for people'),
  setting('shared_buffers', 'at least', '256MB', 'at a start', 'chunks and the newest results stay in memory'),
  setting('work_mem', 'at least', '16MB', 'at a reload', 'a flush of 4 MiB is cut and sorted in memory, not on disk'),
  setting('max_wal_size', 'at least', '2GB', 'at a reload', 'bulk inserts write 1 GB of log in seconds'),
  setting('checkpoint_timeout', 'at least', '15min', 'at a reload', 'each checkpoint makes the next writes larger'),
  setting('log_lock_waits', 'exactly', 'on', 'at a reload', 'its log proves or rules out contention'),
  setting('autovacuum', 'exactly', 'on', 'at a reload', 'chunks are updated three times each'),
  setting('fsync', 'exactly', 'on', 'at a reload', 'off, a crash loses what was answered 2xx, or everything'),
  setting('full_page_writes', 'exactly', 'on', 'at a reload', 'off, a crash can leave torn pages'),
];

/** Redis or Valkey: it carries wake-ups only, so the price of losing it is seconds, and of eviction silence. */
export const recommendedRedis: readonly Recommended[] = [
  setting('maxmemory-policy', 'exactly', 'noeviction', 'at a reload', 'BullMQ needs every key that it wrote'),
  setting('appendonly', 'exactly', 'yes', 'at a reload', 'after its restart jobs stand where they stood'),
  setting(
    'appendfsync',
    'exactly',
    'everysec',
    'at a reload',
    'always costs a sync a job, for what is repaired anyway',
  ),
];
