import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openServices, readSettings, ServiceError, takeLock } from '@bullpen/runtime';
import postgres, { type Sql } from 'postgres';

const folder = fileURLToPath(new URL('../../.bench', import.meta.url));
const dataDir = join(folder, 'data');

export interface Servers {
  databaseUrl: string;
  redisUrl: string;
  /** A database of its own, dropped by `drop`. */
  createDatabase(): Promise<{ url: string; drop: () => Promise<void> }>;
  /** A few connections of the benchmark's own to a database. */
  connect(url: string, options?: postgres.Options<Record<string, postgres.PostgresType>>): Sql;
  stop(): Promise<void>;
}

/** Two at once would take the data from under each other, and measure each other. */
async function lockBench() {
  const lock = await takeLock(join(folder, 'lock'));
  if ('release' in lock) return lock;
  throw new ServiceError('already-running', `A benchmark runs here already (pid ${lock.ownerPid}): wait for its end`);
}

/** The servers that everything is measured on: those of DATABASE_URL and REDIS_URL, else embedded ones with empty data. */
export async function openServers(env: NodeJS.ProcessEnv, say: (line: string) => void): Promise<Servers> {
  const settings = readSettings(env);
  const lock = await lockBench();
  await rm(dataDir, { recursive: true, force: true });
  const services = await openServices({ ...settings, dataDir, queueBackend: 'redis', mode: 'own', say });
  const connect: Servers['connect'] = (url, options) =>
    postgres(url, { max: 3, onnotice: () => undefined, fetch_types: false, ...options });

  async function onServer(statement: string): Promise<void> {
    const sql = connect(services.databaseUrl, { max: 1 });
    try {
      await sql.unsafe(statement);
    } finally {
      await sql.end();
    }
  }

  return {
    databaseUrl: services.databaseUrl,
    redisUrl: services.redisUrl!,
    connect,
    async createDatabase() {
      const name = `bench_${randomBytes(4).toString('hex')}`;
      await onServer(`create database ${name}`);
      const url = new URL(services.databaseUrl);
      url.pathname = `/${name}`;
      return { url: url.href, drop: () => onServer(`drop database ${name} with (force)`) };
    },
    async stop() {
      await services.stop();
      await rm(dataDir, { recursive: true, force: true });
      await lock.release();
    },
  };
}
