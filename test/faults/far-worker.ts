import { type AppProcess, eventually, hasRedis, type House, openProxy, type Proxy } from '@bullpen/testkit';

/** A worker that goes to its servers through proxies of its own. Where the queues are in PostgreSQL both are one. */
export interface FarWorker {
  app: AppProcess;
  postgres: Proxy;
  redis: Proxy;
  /** Resolves when it has partitions. */
  hasShare: () => Promise<unknown>;
  /** The network is as it should be from now on. */
  heal: () => Promise<unknown>;
  /** Call it after the house has stopped. */
  close: () => Promise<unknown>;
}

export async function addFarWorker(house: House): Promise<FarWorker> {
  const postgres = await openProxy(house.database.url);
  const redis = hasRedis ? await openProxy(house.redisUrl) : postgres;
  const app = await house.addWorker({ DATABASE_URL: postgres.url, REDIS_URL: hasRedis ? redis.url : '' });
  const owns = async (): Promise<boolean> => {
    const { body } = await house.request<{ items: { pid: number; partitions: number[] }[] }>('/v1/workers');
    return body.items.some(({ pid, partitions }) => pid === app.pid() && partitions.length > 0);
  };
  return {
    app,
    postgres,
    redis,
    hasShare: () => eventually('it has its share', owns),
    heal: () => Promise.all([redis, postgres].map((proxy) => proxy.set({}))),
    close: () => Promise.all([redis, postgres].map((proxy) => proxy.close())),
  };
}
