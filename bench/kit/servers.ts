import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openServices, readSettings, ServiceError } from '@bullpen/runtime';
import postgres, { type Sql } from 'postgres';

const dataDir = fileURLToPath(new URL('../../.bench', import.meta.url));

export interface Servers {
  databaseUrl: string;
  redisUrl: string;
  /** A database of its own, dropped by `drop`. */
  createDatabase(): Promise<{ url: string; drop: () => Promise<void> }>;
  /** A few connections of the benchmark's own to a database. */
  connect(url: string, options?: postgres.Options<Record<string, postgres.PostgresType>>): Sql;
  stop(): Promise<void>;
}

const ownerFile = join(dataDir, 'bench.pid');

/** Two at once would take the data from under each other, and measure each other. */
async function refuseSecond(): Promise<void> {
  const pid = Number(await readFile(ownerFile, 'utf8').catch(() => ''));
  if (pid > 0 && isAlive(pid))
    throw new ServiceError('already-running', `A benchmark runs here already (process ${pid}): wait for its end`);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The servers that everything is measured on: those of DATABASE_URL and REDIS_URL, else embedded ones with empty data. */
export async function openServers(env: NodeJS.ProcessEnv, say: (line: string) => void): Promise<Servers> {
  const settings = readSettings(env);
  await refuseSecond();
  await rm(dataDir, { recursive: true, force: true });
  await mkdir(dataDir);
  await writeFile(ownerFile, String(process.pid));
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
    },
  };
}
