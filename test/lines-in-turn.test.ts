import { checkLedger, eventually, type House, startHouse } from '@bullpen/testkit';
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
