import { access, chmod, constants, mkdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ServiceError } from './error.ts';
import { lockHolder, takeLock, type Lock } from './lock.ts';
import { openPostgres } from './postgres.ts';
import { openRedis } from './redis.ts';
import { readRunFile, removeRunFile, writeRunFile, type RunFile } from './run-file.ts';

export { ServiceError, type ServiceErrorCode } from './error.ts';
export { takeLock } from './lock.ts';
export { type Recommended, recommendedPostgres, recommendedRedis } from './recommended.ts';
export { readRunFile, type RunFile } from './run-file.ts';

export interface Services {
  databaseUrl: string;
  /** Where the queues are kept, for all processes that use these servers. */
  queueBackend: 'redis' | 'postgres';
  /** Null where the queues are kept in PostgreSQL. */
  redisUrl: string | null;
  /** Which of them run from the data folder. */
  embedded: { postgres: boolean; redis: boolean };
  /** True when another live process owns the servers and we only joined: `stop` then leaves them alone. */
  joined: boolean;
  /** Adds facts to the run file that are known only now, such as the URL that was listened on. Does nothing when joined. */
  announce(facts: Record<string, unknown>): Promise<void>;
  stop(): Promise<void>;
}

export interface ServiceOptions {
  dataDir: string;
  databaseUrl?: string | undefined;
  redisUrl?: string | undefined;
  /** auto: Redis where one is given or can be had, else PostgreSQL. */
  queueBackend: 'auto' | 'redis' | 'postgres';
  /** Where a Redis that had to be fetched is kept; unset: beside the packages, for all data folders. */
  fetchedRedis?: string;
  /** 'own' refuses when another process runs on this folder; 'join-or-own' uses its servers. */
  mode: 'own' | 'join-or-own';
  say: (line: string) => void;
  /** Facts for the run file, such as `{ url: 'http://127.0.0.1:3000' }`. */
  owner?: Record<string, unknown>;
}

/** How long an owner may take to start its servers (its first start downloads them) before a joining process gives up. */
const OWNER_START_MS = 180_000;

/**
 * PostgreSQL and Redis for this process: the given ones, or else servers of our own whose data lie in `dataDir`. Where
 * there is no Redis to be had, or none is wanted, the queues go into PostgreSQL too.
 * Servers of our own are started again when they die, and die with this process, however it ends. Throws ServiceError.
 */
export async function openServices(options: ServiceOptions): Promise<Services> {
  const { databaseUrl } = options;
  const queue = givenQueue(options);
  if (databaseUrl !== undefined && queue !== null) {
    return {
      databaseUrl,
      ...queue,
      embedded: { postgres: false, redis: false },
      joined: false,
      announce: async () => {},
      stop: async () => {},
    };
  }
  const dataDir = resolve(options.dataDir);
  await makePrivateFolder(dataDir);
  for (;;) {
    const lock = await takeLock(join(dataDir, 'lock'));
    if ('release' in lock) return own(dataDir, options, lock);
    const run =
      options.mode === 'own'
        ? refuse(dataDir, lock.ownerPid, await readRunFile(dataDir))
        : await ownersRunFile(dataDir, lock.ownerPid);
    if (run) return joinOwner(run, options);
  }
}

async function own(dataDir: string, options: ServiceOptions, lock: Lock): Promise<Services> {
  const { databaseUrl, say, owner = {} } = options;
  const given = givenQueue(options);
  const started = await Promise.allSettled([
    databaseUrl === undefined ? openPostgres(dataDir, say) : external(databaseUrl),
    given === null ? openRedisIfAny(dataDir, options) : external(given.redisUrl),
  ]);
  const close = async () => {
    await removeRunFile(dataDir);
    await Promise.all(started.map(async (server) => server.status === 'fulfilled' && server.value.stop()));
    await lock.release();
  };
  const [postgres, redis] = started;
  if (postgres.status === 'rejected' || redis.status === 'rejected') {
    await close();
    throw postgres.status === 'rejected' ? postgres.reason : (redis as PromiseRejectedResult).reason;
  }
  const redisUrl = redis.value.url;
  const servers = { databaseUrl: postgres.value.url, queueBackend: backendOf(redisUrl), redisUrl };
  const embedded = { postgres: databaseUrl === undefined, redis: given === null && redisUrl !== null };
  let facts = { ...owner };
  const announce = async (more: Record<string, unknown>) => {
    facts = { ...facts, ...more };
    await writeRunFile(dataDir, { ...facts, ...servers, embedded });
  };
  await announce({});
  let stopped: Promise<void> | undefined;
  return { ...servers, embedded, joined: false, announce, stop: () => (stopped ??= close()) };
}

const external = async <Url extends string | null>(url: Url) => ({ url, stop: async () => {} });

const backendOf = (redisUrl: string | null): Services['queueBackend'] => (redisUrl === null ? 'postgres' : 'redis');

/** The place of the queues, where the settings leave nothing to be found out. */
function givenQueue({ queueBackend, redisUrl }: ServiceOptions): Pick<Services, 'queueBackend' | 'redisUrl'> | null {
  if (queueBackend === 'postgres') return { queueBackend, redisUrl: null };
  return redisUrl === undefined ? null : { queueBackend: 'redis', redisUrl };
}

/** A Redis that is there and does not start is a fault; that there is none is only a slower day, unless one was asked for. */
async function openRedisIfAny(dataDir: string, { queueBackend, fetchedRedis, say }: ServiceOptions) {
  try {
    return await openRedis(dataDir, say, fetchedRedis);
  } catch (error) {
    const isMissing = error instanceof ServiceError && error.code === 'redis-missing';
    if (!isMissing || queueBackend === 'redis') throw error;
    say(
      `No Redis to be had (${String(error.cause)}): the queues are kept in PostgreSQL, some hundred chunks a second; set REDIS_URL for more.`,
    );
    return external(null);
  }
}

function joinOwner(run: RunFile, options: ServiceOptions): Services {
  const { databaseUrl, queueBackend } = options;
  const given = givenQueue(options);
  const wanted = given?.queueBackend ?? (queueBackend === 'auto' ? run.queueBackend : queueBackend);
  if (wanted !== run.queueBackend) {
    throw new ServiceError(
      'queue-backend',
      `The Bullpen that runs here has its queues in ${run.queueBackend}, this process would have them in ${wanted}: unset QUEUE_BACKEND and REDIS_URL to join it.`,
    );
  }
  return {
    databaseUrl: databaseUrl ?? run.databaseUrl,
    queueBackend: wanted,
    redisUrl: given?.redisUrl ?? run.redisUrl,
    embedded: {
      postgres: databaseUrl === undefined && run.embedded.postgres,
      redis: given === null && run.embedded.redis,
    },
    joined: true,
    announce: async () => {},
    stop: async () => {},
  };
}

function refuse(dataDir: string, pid: number, run: RunFile | null): never {
  const where = typeof run?.url === 'string' ? `, ${run.url}` : '';
  throw new ServiceError(
    'already-running',
    `Bullpen already runs on ${dataDir} (pid ${pid}${where}). Stop it, or set DATA_DIR to another folder.`,
  );
}

/** The owner's facts once its servers answer; null when it went away meanwhile, so that we may become the owner. */
async function ownersRunFile(dataDir: string, pid: number): Promise<RunFile | null> {
  for (const began = Date.now(); Date.now() - began < OWNER_START_MS; await delay(50)) {
    const run = await readRunFile(dataDir);
    if (run?.pid === pid) return run;
    if ((await lockHolder(join(dataDir, 'lock'))) === null) return null;
  }
  throw new ServiceError(
    'already-running',
    `The Bullpen on ${dataDir} (pid ${pid}) does not get its servers started. Stop it, or set DATA_DIR to another folder.`,
  );
}

async function makePrivateFolder(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const { mode } = await stat(dataDir);
    // Others may pass through at most (0711 is what PostgreSQL as another user needs). A shared folder that is not ours stays as it is.
    if (mode & 0o066) await chmod(dataDir, mode & 0o711).catch(() => {});
    await access(dataDir, constants.W_OK);
  } catch (error) {
    throw new ServiceError(
      'data-dir',
      `The data folder ${dataDir} cannot be used (${(error as Error).message}). Set DATA_DIR to a folder that you may write to.`,
    );
  }
}
