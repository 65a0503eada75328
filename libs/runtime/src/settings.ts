import { availableParallelism, hostname } from 'node:os';
import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import type { z } from 'zod';
import { crashPlaces } from './crash-point.ts';
import { maskSecrets } from './mask.ts';
import {
  apiKey,
  flag,
  hosts,
  oneOf,
  optionalWhole,
  proxies,
  ranges,
  type Setting,
  text,
  url,
  whole,
  wholeOrAuto,
} from './setting-kinds.ts';

const kibi = 1024;
const mebi = 1024 * kibi;

/** Every setting, in the order in which `.env.example` shows them. The names and defaults are the contract of docs. */
export const settingTable = {
  PORT: whole(0, 65_535, 3000, 'TCP port', 'Where the producer listens; 0 takes a free one'),
  HOST: text('127.0.0.1', 'address', 'Address the producer listens on'),
  DATABASE_URL: url(
    ['postgres:', 'postgresql:'],
    'PostgreSQL 15 or newer, with TLS by ?sslmode=verify-full; unset: an embedded server in DATA_DIR',
  ),
  REDIS_URL: url(
    ['redis:', 'rediss:'],
    'Redis 6.2 or newer, or Valkey, with noeviction, with TLS by rediss://; unset: an embedded server in DATA_DIR',
  ),
  QUEUE_BACKEND: oneOf(
    ['auto', 'redis', 'postgres'],
    'auto',
    'Where the queues are kept, the same for all processes; auto: Redis where REDIS_URL is set or one can be had, else PostgreSQL',
  ),
  DATA_DIR: text('.data', 'folder', 'Where the embedded servers keep their data'),
  WORKERS: whole(0, 64, 3, 'processes', 'Workers that `npm start` runs'),
  HANDLERS: text('libs/handlers/src', 'folders, by comma', 'Where handlers are loaded from'),
  WORKER_ID: text('', 'name', 'Name of this worker in logs and /v1/workers; unset: host-pid-random'),
  WORKER_CONCURRENCY: wholeOrAuto(
    1,
    10_000,
    'items',
    'Items in handlers at once, a worker; auto: from 100 on, more as long as more of them end for it',
  ),
  WORKER_CHUNKS: wholeOrAuto(
    1,
    1000,
    'chunks',
    'Chunks claimed or on their way at once, a worker; hides the distance to the servers; auto: what is settled in two round trips and 250 ms',
  ),
  WORKER_INDEX: optionalWhole(
    0,
    255,
    'from 0',
    'Pins this worker, one of WORKER_COUNT, to each partition with number % WORKER_COUNT = WORKER_INDEX; unset: its fair share',
  ),
  WORKER_COUNT: optionalWhole(1, 256, 'workers', 'How many workers have a WORKER_INDEX'),
  WORKER_PARTITIONS: ranges(255, 'partitions', 'Pins this worker to these partitions instead of a WORKER_INDEX'),
  WORKER_PORT: whole(
    0,
    65_535,
    0,
    'TCP port',
    'Where a worker answers /livez, /readyz and /metrics, on HOST; 0: nowhere. Of several workers of one command each takes the next port',
  ),
  PARTITIONS: optionalWhole(
    1,
    256,
    'queues',
    'Partition queues; fixed in the database at the first start (12 when unset)',
  ),
  CHUNK_SIZE: whole(1, 10_000, 1000, 'items', 'Items of a chunk'),
  CHUNK_MAX_BYTES: whole(kibi, 64 * mebi, mebi, 'bytes', 'Inputs of a chunk'),
  CHUNK_SLICE_MS: whole(10, 3_600_000, 1000, 'ms', 'How long a chunk runs before it is flushed with its rest'),
  MAX_CHUNKS_PER_BATCH: whole(1, 10_000_000, 100_000, 'chunks', 'Chunks of a batch'),
  MAX_ITEMS_PER_BATCH: whole(
    1,
    1_000_000_000,
    10_000_000,
    'items',
    'Items of a batch, of an open one those that are not final',
  ),
  BACKLOG_MAX_ITEMS: whole(
    1,
    1_000_000_000_000,
    50_000_000,
    'items',
    'Unfinished items of all batches; beyond that new ones are refused with 429',
  ),
  REDIS_MEMORY_MAX_PERCENT: whole(
    1,
    100,
    80,
    'percent',
    'Memory of Redis that may be full; beyond that new work is refused with 503',
  ),
  DISK_FREE_MIN_MB: whole(
    0,
    1_000_000_000,
    1024,
    'MiB',
    'Free space on the disk of DATA_DIR; below that new work is refused with 503. Where PostgreSQL runs embedded',
  ),
  UPLOAD_MAX_BUFFER_BYTES: whole(
    2 * mebi,
    4096 * mebi,
    32 * mebi,
    'bytes',
    'What all uploads of a producer hold in memory until it is stored',
  ),
  BATCH_AUTO_ENABLED: flag(
    true,
    'Whether single items gather while a commit is under way; false: each is stored alone',
  ),
  BATCH_MAX_SIZE: whole(1, 10_000, 100, 'items', 'Single items that are stored together'),
  BATCH_MAX_DELAY_MS: whole(0, 5000, 5, 'ms', 'How long a single item waits for others while a commit is under way'),
  OUTPUT_MAX_BYTES: whole(1, 64 * mebi, mebi, 'bytes', 'Output of one item as JSON; more fails the item'),
  FLUSH_MAX_ITEMS: whole(1, 100_000, 4000, 'items', 'Results that make a flush go at once'),
  FLUSH_MAX_BYTES: whole(kibi, 256 * mebi, 4 * mebi, 'bytes', 'Output bytes that make a flush go at once'),
  FLUSH_INTERVAL_MS: whole(0, 5000, 5, 'ms', 'How long results wait for others before a flush'),
  CLAIM_JITTER_MS: whole(0, 500, 0, 'ms', 'Random wait before a claim'),
  PUBLISH_PARALLELISM: optionalWhole(1, 10_000, 'calls', 'addBulk calls at once; unset: cpus × 4, always within 2…512'),
  PUBLISH_CHUNK_SIZE: whole(1, 1000, 100, 'jobs', 'Jobs of one addBulk call'),
  LEASE_MS: whole(500, 600_000, 5000, 'ms', 'How long a silent worker keeps its chunks and partitions'),
  DRAIN_TIMEOUT_MS: whole(0, 3_600_000, 25_000, 'ms', 'How long a process that was asked to stop may take'),
  DATABASE_POOL_MAX: whole(
    2,
    1000,
    10,
    'connections',
    'PostgreSQL connections of a process; queues in PostgreSQL add 5',
  ),
  RETENTION_DAYS: whole(
    0,
    3650,
    30,
    'days',
    'How long a batch is kept after it has ended, and of an open one an item after it is final; then it is deleted with its results. 0: for ever',
  ),
  WEBHOOK_ALLOW_PRIVATE: flag(
    false,
    'Whether webhooks may go to private networks and, over http, to this machine: for trials, and where all who submit are trusted',
  ),
  METRICS_WINDOW_MS: whole(100, 3_600_000, 10_000, 'ms', 'A worker logs one line of figures each window'),
  LOG_LEVEL: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace'], 'info', 'What is logged'),
  BULLPEN_URL: url(
    ['http:', 'https:'],
    'Where the CLI finds the producer; unset: the one that runs on DATA_DIR, else port 3000',
  ),
  BULLPEN_API_KEY: apiKey('The key by which the CLI asks, where the service has keys'),
  BULLPEN_ADMIN_KEY: apiKey(
    'A key that may do everything: the producer makes it at its start, where it is not there yet. Try: echo bp_admin_$(openssl rand -hex 24)',
  ),
  ALLOWED_HOSTS: hosts(
    'Names of the service that are answered beside localhost, once there are keys; unset: any. Others get 421',
  ),
  TRUST_PROXY: proxies('Whom to believe X-Forwarded-For of, so that the log names who really asked; unset: nobody'),
} satisfies Record<string, Setting<unknown>>;

/** Settings that break a promise, so that a test can show that it would see it broken. `.env.example` does not know them. */
export const testSettingTable = {
  TEST_BREAK_ORDER: oneOf(
    ['nothing', 'barrier'],
    'nothing',
    'What workers leave out of all that keeps the items of a group in order',
  ),
  TEST_CRASH_AT: oneOf(['nothing', ...crashPlaces], 'nothing', 'Where a process dies when it first comes by'),
} satisfies Record<string, Setting<unknown>>;

const allSettings = { ...settingTable, ...testSettingTable };

type Pascal<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Capitalize<Lowercase<Head>>}${Pascal<Tail>}`
  : Capitalize<Lowercase<S>>;
type SettingName = keyof typeof allSettings;
type SettingValue<Name extends SettingName> = z.output<(typeof allSettings)[Name]['read']>;

/** All settings of a process, in camel case: `LEASE_MS` is `leaseMs`. */
export type Settings = { [Name in SettingName as Uncapitalize<Pascal<Name>>]: SettingValue<Name> } & {
  /** min(available, cgroup quota): Node 20 does not see a container's quota. */
  cpus: number;
  /** Names of the test settings that are set; the process says them when it starts. */
  testing: string[];
};

/** The settings cannot be used; `problems` has a line for each fault. The process ends with 78 (EX_CONFIG). */
export class SettingsError extends Error {
  readonly exitCode = 78;
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    // A value that is repeated may be a secret that stands under the wrong name.
    const masked = problems.map(maskSecrets);
    super(masked.join('\n'));
    this.problems = masked;
    this.name = 'SettingsError';
  }
}

const camel = (name: string): string =>
  name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** Reads all settings from `env` at once. An empty value counts as unset. Throws SettingsError with every problem. */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const problems: string[] = [];
  const settings: Record<string, unknown> = { cpus: countCpus() };
  for (const [name, setting] of Object.entries(allSettings)) {
    const parsed = (setting.read as z.ZodType).safeParse(env[name] === '' ? undefined : env[name]);
    if (parsed.success) settings[camel(name)] = parsed.data;
    else problems.push(`${name} ${parsed.error.issues[0]?.message ?? 'is not valid'}`);
  }
  const testing = Object.keys(testSettingTable).filter((name) => env[name]);
  settings['testing'] = testing;
  if (env['NODE_ENV'] === 'production')
    problems.push(...testing.map((name) => `${name} is for tests and breaks a promise: unset it in production`));
  if (settings['workerId'] === '')
    settings['workerId'] = `${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`;
  problems.push(...pinProblems(settings));
  if (problems.length > 0) throw new SettingsError(problems);
  return settings as Settings;
}

/** What is wrong with the pins taken together. A setting that could not be read has its own line already. */
function pinProblems(settings: Partial<Settings>): string[] {
  const { workerIndex, workerCount, workerPartitions } = settings;
  const problems: string[] = [];
  if (!['workerIndex', 'workerCount', 'workerPartitions'].every((name) => name in settings)) return problems;
  if (workerIndex !== undefined && workerCount !== undefined && workerIndex >= workerCount)
    problems.push(
      `WORKER_INDEX must be less than WORKER_COUNT, and ${workerIndex} is not less than ${workerCount}: indexes go from 0 to ${workerCount - 1}`,
    );
  if (workerIndex !== undefined && workerCount === undefined)
    problems.push('WORKER_INDEX needs WORKER_COUNT: how many workers have an index');
  if (workerCount !== undefined && workerIndex === undefined)
    problems.push('WORKER_COUNT needs WORKER_INDEX: which of them this worker is, from 0');
  if (workerPartitions !== undefined && (workerIndex !== undefined || workerCount !== undefined))
    problems.push('WORKER_PARTITIONS and WORKER_INDEX with WORKER_COUNT are two ways to pin a worker: use one');
  return problems;
}

function countCpus(): number {
  const quota = readCgroupCpus();
  return Math.max(1, Math.min(availableParallelism(), quota ?? Infinity));
}

/** The cpu quota of cgroup v2, rounded up; null where there is none. */
function readCgroupCpus(): number | null {
  try {
    const [quota, period] = readFileSync('/sys/fs/cgroup/cpu.max', 'utf8').trim().split(' ');
    return quota === 'max' ? null : Math.ceil(Number(quota) / Number(period));
  } catch {
    return null;
  }
}

/** The settings of this process; ends it with one line a problem when they cannot be used. Call it once, in `main.ts`. */
export function loadSettings(): Settings {
  try {
    return readSettings(process.env);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    for (const problem of error.problems) process.stderr.write(`${problem}\n`);
    process.exit(error.exitCode);
  }
}
