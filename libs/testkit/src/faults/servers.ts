import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from '@bullpen/db';
import { openServices } from '@bullpen/runtime';
import { sql } from 'drizzle-orm';
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

  async function answers(server: ServerName): Promise<boolean> {
    if (server === 'redis') return (await redisCommand(services.redisUrl!, 'PING')) === 'PONG';
    const { db, close } = openDatabase({ url: services.databaseUrl, max: 1, name: 'testkit', durable: true });
    try {
      return (await db.execute(sql`select 1`)).length === 1;
    } finally {
      await close();
    }
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

    /** Resolves when another process than this answers: its file names it before it takes anybody. */
    back: (server: ServerName, before: number): Promise<unknown> =>
      eventually(`${server} is back`, async () => {
        const pid = await pidOf(server).catch(() => null);
        return pid !== null && pid !== before && (await answers(server).catch(() => false));
      }),

    /** Stops all of its processes as they are, of PostgreSQL backends too. Answers how to let them go on, or some of them. */
    async freeze(server: ServerName): Promise<(isMeant?: (pid: number) => boolean) => void> {
      const pid = await pidOf(server);
      sent(pid, 'SIGSTOP');
      // Until then it may fork a backend, which a look at its children would miss.
      await eventually(`${server} stands still`, async () => (await statOf(pid))?.state === 'T');
      const children = server === 'postgres' ? await childrenOf(pid) : [];
      for (const child of children) sent(child, 'SIGSTOP');
      return (isMeant = () => true) => [pid, ...children].filter(isMeant).forEach((each) => sent(each, 'SIGCONT'));
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

/** Its state, T when it is stopped, and who started it. Null: it is gone. */
async function statOf(pid: number): Promise<{ state: string; parent: number } | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (stat === null) return null;
  const [state = '', parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state, parent: Number(parent) };
}

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = await Promise.all(pids.map(statOf));
  return pids.filter((_, at) => stats[at]?.parent === parent);
}
