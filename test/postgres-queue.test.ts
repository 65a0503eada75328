import { checkLedger, eventually, hasRedis, type House, startHouse, testRedisUrl } from '@bullpen/testkit';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

/** About 3 s of work for two workers. */
const work = { handler: 'sleep', count: 30_000, params: { ms: 10 } };
const env = { WORKER_CONCURRENCY: '50' };

const reaches = (id: string, done: number): Promise<unknown> =>
  eventually('it runs', async () => {
    const found = await house.batch(id).catch(() => null);
    return found?.counts !== undefined && found.counts.succeeded >= done;
  });

async function endsWhole(id: string): Promise<void> {
  expect((await house.ended(id, 40_000)).counts).toMatchObject({ succeeded: work.count, failed: 0, pending: 0 });
  expect(await checkLedger(house.database)).toEqual([]);
}

describe('with the queues in PostgreSQL a batch ends with every index exactly once', () => {
  it('when the queues forget everything and a worker is killed', async () => {
    house = await startHouse({ workers: 2, env, queueBackend: 'postgres' });
    const id = await house.submit(work);
    await reaches(id, work.count * 0.1);
    await house.forgetJobs();
    await reaches(id, work.count * 0.5);
    await house.workers[0]!.end('SIGKILL');
    await reaches(id, work.count * 0.8);
    await house.forgetJobs();
    await endsWhole(id);
  });

  it('when PostgreSQL, and with it the queues, is killed, which nobody is loud about', async () => {
    house = await startHouse({ workers: 2, env, queueBackend: 'postgres', ownServers: true });
    const id = await house.submit(work);
    for (const share of [0.1, 0.4]) {
      await reaches(id, work.count * share);
      process.kill(await house.servers.pidOf('postgres'), 'SIGKILL');
    }
    await endsWhole(id);
    // The same processes: none of them has died of it.
    for (const worker of house.workers) expect(worker.log().match(/worker is ready/g)).toHaveLength(1);
    for (const app of [house.producer, ...house.workers]) expect(app.log().split('\n').length).toBeLessThan(60);
  });
});

it.runIf(hasRedis)('refuses a worker that would wait for jobs in Redis, and says why', async () => {
  house = await startHouse({ workers: 0, queueBackend: 'postgres' });
  const stray = house.addWorker({ QUEUE_BACKEND: 'redis', REDIS_URL: testRedisUrl() });
  await expect(stray).rejects.toThrow(
    /ended with 78[^]*A producer on .* has the queues of this database in PostgreSQL, .* in Redis/,
  );
  expect((await house.request('/readyz')).status).toBe(200);
});
