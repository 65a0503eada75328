import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openServices } from '@bullpen/runtime';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { redisCommand, redisPid } from '../redis.ts';
import { eventually } from '../eventually.ts';

export type ServerName = 'postgres' | 'redis';

/** A PostgreSQL and a Redis that a test may do anything to. Each keeps its port, and is started again whenever it dies. */
export async function openOwnServers(queueBackend: 'redis' | 'postgres') {
  const dataDir = await mkdtemp(join(tmpdir(), 'bullpen-house-'));
  const services = await openServices({ dataDir, mode: 'own', queueBackend, say: () => undefined });

  /** Backends answer for a moment when their server is gone already, and its file still names it. */
  async function pidOf(server: ServerName): Promise<number> {
    if (server === 'redis') return redisPid(services.redisUrl!);
    const [first] = (await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n');
    return Number(first);
  }

  /** Of PostgreSQL all processes, backends too. */
  async function pidsOf(server: ServerName): Promise<number[]> {
    const pid = await pidOf(server);
    return server === 'redis' ? [pid] : [pid, ...(await childrenOf(pid))];
  }

  return {
    databaseUrl: services.databaseUrl,
    redisUrl: services.redisUrl,
    pidOf,

    /**
     * Sends a signal to it. SIGKILL is a crash; of PostgreSQL SIGINT is its fast stop and SIGQUIT its immediate one, of Redis
     * SIGTERM is a stop. It is started again after 100 ms. Answers its pid.
     */
    end: (server: ServerName, signal: NodeJS.Signals): Promise<number> =>
      eventually(`${server} gets ${signal}`, async () => {
        const pid = await pidOf(server).catch(() => null);
        return pid !== null && sent(pid, signal) && pid;
      }),

    /** Resolves when another process than this answers. */
    back: (server: ServerName, before: number): Promise<unknown> =>
      eventually(`${server} is back`, async () => {
        const pid = await pidOf(server).catch(() => null);
        if (pid === null || pid === before) return false;
        return server === 'postgres' || (await redisCommand(services.redisUrl!, 'PING').catch(() => null)) === 'PONG';
      }),

    /** Stops all of its processes as they are. Answers how to let them go on, or some of them. */
    async freeze(server: ServerName): Promise<(isMeant?: (pid: number) => boolean) => void> {
      const pids = await pidsOf(server);
      for (const pid of pids) sent(pid, 'SIGSTOP');
      return (isMeant = () => true) => pids.filter(isMeant).forEach((pid) => sent(pid, 'SIGCONT'));
    },

    async close(): Promise<void> {
      await services.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** False: it is gone already. */
function sent(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    return false;
  }
}

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const parents = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')));
  return pids
    .filter((_, at) => Number(parents[at]!.slice(parents[at]!.lastIndexOf(')') + 2).split(' ')[1]) === parent)
    .map(Number);
}
