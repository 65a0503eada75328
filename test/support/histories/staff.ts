import { setTimeout as sleep } from 'node:timers/promises';
import { type AppProcess, eventually, hasRedis, type House, redisPid } from '@bullpen/testkit';
import type { FaultPlan } from './plan.ts';

/** At least so many workers stay as they are. */
const soundMin = 1;
const workersMax = 6;

type Fault = (forMs: number) => Promise<boolean>;

/** The processes of a house, and what may happen to them: one thing at a time to each. Of all it answers whether it could be done. */
export function createStaff(house: House) {
  const taken = new Set<AppProcess>();
  const servers = { redis: false, postgres: false };

  async function withWorker(what: (worker: AppProcess) => Promise<void>): Promise<boolean> {
    const sound = house.workers.filter((worker) => !taken.has(worker));
    if (sound.length <= soundMin) return false;
    const worker = sound[Math.floor(Math.random() * sound.length)]!;
    taken.add(worker);
    await what(worker).finally(() => taken.delete(worker));
    return true;
  }

  async function withServer(name: 'redis' | 'postgres', what: () => Promise<boolean>): Promise<boolean> {
    if (servers[name]) return false;
    servers[name] = true;
    return await what().finally(() => (servers[name] = false));
  }

  const freeze = (leastMs: number): Fault => (forMs) =>
    withWorker(async (worker) => {
      worker.signal('SIGSTOP');
      await sleep(leastMs + forMs);
      worker.signal('SIGCONT');
    }); // prettier-ignore

  const kills: Record<Exclude<FaultPlan['kind'], 'pause' | 'retry'>, Fault> = {
    kill: (forMs) =>
      withWorker(async (worker) => {
        await worker.end('SIGKILL');
        await sleep(forMs / 4);
        await startAgain(worker);
      }),
    /** Longer than a lease. */
    freeze: freeze(1500),
    blink: freeze(100),
    drain: (forMs) =>
      withWorker(async (worker) => {
        await worker.end('SIGTERM');
        await sleep(forMs);
        await startAgain(worker);
      }),
    join: async (forMs) => {
      if (house.workers.length >= workersMax) return false;
      const worker = await house.addWorker();
      taken.add(worker);
      await sleep(forMs);
      await worker.end('SIGTERM');
      house.workers.splice(house.workers.indexOf(worker), 1);
      taken.delete(worker);
      return true;
    },
    forget: () => house.forgetJobs().then(() => true, () => false), // prettier-ignore
    redis: () => withServer('redis', async () => hasRedis && kill(await redisPid(house.redisUrl).catch(() => null))),
    postgres: () => withServer('postgres', async () => kill(await house.servers.pidOf('postgres').catch(() => null))),
  };

  return kills;
}

export type Staff = ReturnType<typeof createStaff>;

/** It may meet a server that was just killed: its supervisor would start it again. */
const startAgain = (app: AppProcess): Promise<boolean> =>
  eventually(`${app.app} starts`, () => app.restart().then(() => true, () => false), 60_000); // prettier-ignore

/** A server that was killed a moment ago may not be there again. */
function kill(pid: number | null): boolean {
  try {
    return pid !== null && process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    return false;
  }
}
