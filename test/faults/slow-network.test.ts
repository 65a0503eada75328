import { eventually, type House, openTrial, startHouse } from '@bullpen/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addFarWorker, type FarWorker } from './far-worker.ts';

/** As it is without a setting: with a shorter one the locks of jobs run out sooner than a queue this slow can be told of them. */
const leaseMs = 5000;

let house: House;
let far: FarWorker;
beforeAll(async () => {
  const env = { HANDLERS: 'libs/handlers/src,libs/testkit/handlers', LEASE_MS: String(leaseMs) };
  house = await startHouse({ workers: 1, env: { ...env, WORKER_CONCURRENCY: '20' } });
  far = await addFarWorker(house);
});
afterAll(async () => {
  await house.stop();
  await far.close();
});

it('X25 a worker with 5 kB a second, each way on each connection: I1, I2, I3, I4, I5, I7', async () => {
  const trial = openTrial(house);
  const pid = far.app.pid();
  await far.hasShare();
  await trial.submit({ count: 1500, ms: 40, options: { chunkSize: 20 } });
  await trial.submit({ count: 600, ms: 20, keys: 50, options: { chunkSize: 20 } });
  await eventually('it is at work', async () => (await trial.executions()).some((run) => run.pid === pid));
  const from = Date.now();
  for (const proxy of [far.redis, far.postgres]) await proxy.set({ bytesPerSecond: 5000 });
  expect(await trial.outcome({ during: [{ from, to: Infinity, pid }], withinMs: 60_000 })).toEqual([]);
  await far.heal();
  await far.hasShare();
}, 90_000);
