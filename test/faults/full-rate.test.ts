import { checkLedger, eventually, hasRedis, type House, startHouse } from '@bullpen/testkit';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

/** Items that take nothing, as fast as they can be stored. */
const work = { handler: 'echo', count: 600_000, params: { score: 1234, turns: 7, winner: 'team3' } };
const env = { WORKER_CONCURRENCY: '50' };

const runs = (id: string, done = 0): Promise<unknown> =>
  eventually('it runs', async () => {
    const { state, counts } = await house.batch(id);
    expect(state).toBe('running');
    return counts.running > 0 && counts.succeeded >= done;
  });

async function endsWhole(id: string, total: number): Promise<void> {
  expect((await house.ended(id, 40_000)).counts).toMatchObject({
    total,
    succeeded: total,
    failed: 0,
    pending: 0,
    running: 0,
  });
  expect(await checkLedger(house.database)).toEqual([]);
}

describe('a batch at full rate ends with every index exactly once', () => {
  it('X2 when a worker is killed in the middle: I1, I2', async () => {
    house = await startHouse({ workers: 2, env });
    const id = await house.submit(work);
    await runs(id, 1000);
    await house.workers[0]!.end('SIGKILL');
    await endsWhole(id, work.count);
  });

  it('X6 when the producer is killed between commit and publication: I1, I2', async () => {
    house = await startHouse({ workers: 0, env });
    const id = await house.submit({ ...work, count: 5000 });
    expect((await house.batch(id)).counts.pending).toBe(5000);
    await house.producer.end('SIGKILL');
    await house.addWorker();
    await house.producer.restart();
    await endsWhole(id, 5000);
  });

  it('X10 when the queues forget everything at 10, 50 and 90 %: I1, I2', async () => {
    house = await startHouse({ workers: 2, env });
    // The last tenth must take longer than a look that comes late.
    const count = 900_000;
    const id = await house.submit({ ...work, count });
    for (const share of [0.1, 0.5, 0.9]) {
      await runs(id, count * share);
      await house.forgetJobs();
    }
    await endsWhole(id, count);
  });

  it.runIf(hasRedis)('X8, X9 when Redis is killed and restarted: I1, I2', async () => {
    house = await startHouse({ workers: 2, env, ownServers: true });
    const id = await house.submit(work);
    await runs(id, 1000);
    await house.servers.back('redis', await house.servers.end('redis', 'SIGKILL'));
    await house.servers.end('redis', 'SIGTERM');
    await endsWhole(id, work.count);
  });

  it('X15 when PostgreSQL is killed five times, right after claims and flushes, and what was completed stays so: I1, I2, I12', async () => {
    house = await startHouse({ workers: 2, env, ownServers: true });
    const completed = await house.submit({ handler: 'echo', count: 20_000 });
    await house.ended(completed);
    const id = await house.submit(work);
    for (let kill = 0; kill < 5; kill += 1) {
      // Right after a flush, or after a claim that no flush has followed.
      const { counts: before } = await house.batch(id).catch(() => ({ counts: { succeeded: 0 } }));
      await eventually('a flush or a claim', async () => {
        const found = await house.batch(id).catch(() => null);
        return (
          found?.state === 'completed' ||
          (found?.counts && (kill % 2 === 0 ? found.counts.succeeded > before.succeeded : found.counts.running > 0))
        );
      });
      await house.servers.end('postgres', 'SIGKILL');
      await eventually(
        'PostgreSQL is back',
        async () => (await house.batch(id).catch(() => null))?.counts !== undefined,
      );
      expect((await house.batch(completed)).state).toBe('completed');
    }
    await endsWhole(id, work.count);
    expect((await house.batch(completed)).counts.succeeded).toBe(20_000);
  });
});
