import { checkLedger, eventually, type House, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const succeeded = async (id: string): Promise<number> => (await house.batch(id)).counts.succeeded;

describe('a line that has stepped aside, with thousands of groups', () => {
  const keyed = { groupBy: 'key', ordered: true };
  it.each([
    ['a batch without groups', {}],
    ['another one', keyed],
  ])(
    'leaves %s its share of the slots',
    async (_, options) => {
      house = await startHouse({ workers: 1, partitions: 1, env: { WORKER_CONCURRENCY: '10' } });
      const inputs = (n: number): object[] => Array.from({ length: n }, (_, i) => ({ key: `k${i}`, ms: 300 }));
      const long = await house.submit({ handler: 'sleep', inputs: inputs(1000), options: keyed });
      const before = await eventually('it runs', async () => {
        const done = await succeeded(long);
        return done > 60 && done;
      });
      const id = await house.submit({ handler: 'sleep', inputs: inputs(60), options: { ...options, chunkSize: 10 } });
      await house.ended(id, 60_000);
      const meanwhile = (await succeeded(long)) - before;
      expect(meanwhile).toBeLessThan(200);
      expect(meanwhile).toBeGreaterThan(10);
      expect(await checkLedger(house.database)).toEqual([]);
    },
    90_000,
  );
});

describe('items of lines that only wait for a process or a thread', () => {
  const env = { HANDLERS: 'libs/handlers/src,libs/testkit/handlers', WORKER_CONCURRENCY: '4' };
  it.each([
    ['that are suspects', 'sleep', true],
    ['of a handler with threads', 'timed-in-threads', false],
  ])('%s keep nobody from a slot', async (_, handler, areSuspects) => {
    house = await startHouse({ workers: 0, partitions: 1, env });
    const inputs = Array.from({ length: 300 }, (_, i) => ({ key: `k${i}`, ms: 3_600_000 }));
    const id = await house.submit({ handler, inputs, options: { groupBy: 'key', ordered: true } });
    if (areSuspects) await house.database.db.execute(sql`update chunks set crashes = 2`);
    const worker = await house.addWorker();
    await eventually('it runs', async () => (await house.batch(id)).counts.running === 300);
    await house.ended(
      await house.submit({ handler: 'sleep', count: 40, params: { ms: 10 }, options: { chunkSize: 2 } }),
    );
    expect((await house.batch(id)).counts).toMatchObject({ running: 300, succeeded: 0 });
    await worker.end('SIGKILL');
  });
});
