import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { lastLines } from './command.ts';
import { ServiceError } from './error.ts';
import { keepServer, type KeptServer } from './keep.ts';
import { hasDeathSignal, notRoot, spawnServer } from './launch.ts';
import { freePort } from './port.ts';
import { POSTGRES_ENV, POSTGRES_USER, postgresData, removeForeignPid } from './postgres-data.ts';
import { postgresBinaries } from './postgres-package.ts';
import { postgresAnswers } from './probe.ts';
import { recommendedPostgres } from './recommended.ts';
import { openServerLog } from './server-log.ts';

/** What an embedded server and one in a container (docker-compose.yml) have in common. */
export const TUNING: Record<string, string> = {
  ...Object.fromEntries(recommendedPostgres.map(({ name, value }) => [name, value])),
  // Compressing page images is left off: this build has pglz only (no lz4), which takes in 165 MB/s.
  wal_compression: 'off',
  log_timezone: 'UTC',
  timezone: 'UTC',
};

/** Given on the command line and not in the data folder, so that a new Bullpen brings its new settings to old data. */
const SETTINGS = {
  ...TUNING,
  // Loopback only, and no socket file, whose path may be 107 bytes at most.
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  // Seen in `ps`: tells these processes from another PostgreSQL's.
  cluster_name: 'bullpen',
};

/** How long a server of an earlier run may take to let go of the data folder. */
const PREDECESSOR_MS = 60_000;

export interface OpenedServer extends KeptServer {
  url: string;
}

/** Starts the PostgreSQL that comes as an npm package, on a data folder in `dataDir`. */
export async function openPostgres(dataDir: string, say: (line: string) => void): Promise<OpenedServer> {
  const [runAs, deathSignal] = await Promise.all([notRoot(), hasDeathSignal()]);
  const binaries = await postgresBinaries(runAs);
  const { path, password } = await postgresData(dataDir, binaries, runAs, say);
  const log = await openServerLog(join(dataDir, 'postgres.log'));
  let port = await freePort();
  const began = Date.now();

  const start = async () => {
    await Promise.all([log.mark(), removeForeignPid(path)]);
    const settings = Object.entries({ ...SETTINGS, port: String(port) }).flatMap(([name, value]) => [
      '-c',
      `${name}=${value}`,
    ]);
    return spawnServer(
      // SIGINT is its fast shutdown: sessions are ended, the data folder is left clean.
      {
        command: binaries.postgres,
        args: ['-D', path, ...settings],
        env: POSTGRES_ENV,
        log: log.fd,
        runAs,
        onOwnerDeath: 'INT',
      },
      deathSignal,
    );
  };
  const failedStart = async (tries: number) => {
    const words = await log.sinceMark();
    if (/Address already in use/.test(words) && tries < 10) {
      port = await freePort();
    } else if (heldByPredecessor(words) && Date.now() - began < PREDECESSOR_MS) {
      await delay(Math.min(50 * tries, 1_000));
    } else {
      throw new ServiceError(
        'postgres-start',
        `PostgreSQL does not start: ${lastLines(words, 3)}\nIts log is ${join(dataDir, 'postgres.log')}.`,
      );
    }
  };
  const plan = {
    name: 'PostgreSQL',
    start,
    failedStart,
    ready: () => postgresAnswers(port, POSTGRES_USER),
    stopSignal: 'SIGINT',
    stopTimeoutMs: 20_000,
  } as const;
  const kept = await keepServer(plan, say).catch(async (error: unknown) => {
    await log.close();
    throw error;
  });
  const stop = async () => {
    await kept.stop();
    await log.close();
  };
  return { url: `postgres://${POSTGRES_USER}:${password}@127.0.0.1:${port}/${POSTGRES_USER}`, stop };
}

/** An owner that was killed leaves a server that is just shutting down, or sessions that still hold its shared memory. Both go by themselves. */
const heldByPredecessor = (words: string): boolean =>
  /lock file "postmaster\.pid" already exists|pre-existing shared memory block/.test(words);
