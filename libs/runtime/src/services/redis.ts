import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lastLines } from './command.ts';
import { ServiceError } from './error.ts';
import { keepServer } from './keep.ts';
import { hasDeathSignal, spawnServer } from './launch.ts';
import { freePort } from './port.ts';
import type { OpenedServer } from './postgres.ts';
import { redisAnswers } from './probe.ts';
import { recommendedRedis } from './recommended.ts';
import { fetchedFolder, redisBinary } from './redis-binary.ts';
import { openServerLog } from './server-log.ts';

/** Starts a Redis on 127.0.0.1 whose data lie in `dataDir`; one that has to be fetched is kept in `fetched`. */
export async function openRedis(dataDir: string, say: (line: string) => void, fetched?: string): Promise<OpenedServer> {
  const [binary, deathSignal] = await Promise.all([
    redisBinary(fetched ?? (await fetchedFolder(dataDir)), say),
    hasDeathSignal(),
  ]);
  const folder = join(dataDir, 'redis');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const log = await openServerLog(join(dataDir, 'redis.log'));
  const password = randomBytes(24).toString('base64url');
  const runAs = { prefix: [], ids: {}, fileOwner: null };
  let port = await freePort();

  const start = async () => {
    await log.mark();
    const config = join(folder, 'redis.conf');
    await writeFile(config, settings(folder, port, password), { mode: 0o600 });
    return spawnServer(
      { command: binary.command, args: [config], env: binary.env, log: log.fd, runAs, onOwnerDeath: 'TERM' },
      deathSignal,
    );
  };
  const failedStart = async (tries: number) => {
    const words = await log.sinceMark();
    if (/Address already in use/.test(words) && tries < 10) {
      port = await freePort();
      return;
    }
    throw new ServiceError(
      'redis-start',
      `Redis does not start: ${lastLines(words, 3)}\nIt only holds wake-ups, so nothing is lost by starting without its data: rm -r '${folder}'`,
    );
  };
  const plan = {
    name: 'Redis',
    start,
    failedStart,
    ready: () => redisAnswers(port),
    stopSignal: 'SIGTERM',
    stopTimeoutMs: 10_000,
  } as const;
  const kept = await keepServer(plan, say).catch(async (error: unknown) => {
    await log.close();
    throw error;
  });
  const stop = async () => {
    await kept.stop();
    await log.close();
  };
  return { url: `redis://:${password}@127.0.0.1:${port}`, stop };
}

/** In a file that only we may read, because a command line shows the password to every user of the machine. */
const settings = (folder: string, port: number, password: string): string =>
  [
    'bind 127.0.0.1',
    `port ${port}`,
    `requirepass ${password}`,
    `dir ${JSON.stringify(folder)}`,
    'logfile ""',
    ...recommendedRedis.map(({ name, value }) => `${name} ${value}`),
    'save ""',
    '',
  ].join('\n');
