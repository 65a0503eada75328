import {
  type AppProcess,
  eventually,
  hasRedis,
  type House,
  openProxy,
  openTrial,
  type Proxy,
  startHouse,
} from '@bullpen/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';

/** As it is without a setting: with a shorter one the locks of jobs run out sooner than a queue this slow can be told of them. */
const leaseMs = 5000;

let house: House;
let far: AppProcess;
let proxies: Proxy[];
beforeAll(async () => {
  const env = { HANDLERS: 'libs/handlers/src,libs/testkit/handlers', LEASE_MS: String(leaseMs) };
  house = await startHouse({ workers: 1, env: { ...env, WORKER_CONCURRENCY: '20' } });
  const postgres = await openProxy(house.database.url);
  const redis = hasRedis ? await openProxy(house.redisUrl) : postgres;
  proxies = [postgres, redis];
  far = await house.addWorker({ DATABASE_URL: postgres.url, REDIS_URL: hasRedis ? redis.url : '' });
});
afterAll(async () => {
  await house.stop();
  await Promise.all(proxies.map((proxy) => proxy.close()));
});

it('X25 a worker with 5 kB a second, each way on each connection: I1, I2, I3, I4, I5, I7', async () => {
  const trial = openTrial(house);
  const owns = async (): Promise<boolean> => {
    const { body } = await house.request<{ items: { pid: number; partitions: number[] }[] }>('/v1/workers');
    return body.items.some(({ pid, partitions }) => pid === far.pid() && partitions.length > 0);
  };
  await eventually('it has its share', owns);
  await trial.submit({ count: 1500, ms: 40, options: { chunkSize: 20 } });
  await trial.submit({ count: 600, ms: 20, keys: 50, options: { chunkSize: 20 } });
  await eventually('it is at work', async () => (await trial.executions()).some(({ pid }) => pid === far.pid()));
  const from = Date.now();
  await Promise.all(proxies.map((proxy) => proxy.set({ bytesPerSecond: 5000 })));
  const during = [{ from, to: Infinity, pid: far.pid() }];
  expect(await trial.outcome({ during, withinMs: 60_000 })).toEqual([]);
  await Promise.all(proxies.map((proxy) => proxy.set({})));
  await eventually('it has its share again', owns);
}, 90_000);
