import {
  createDice,
  eventually,
  freePort,
  hasRedis,
  type House,
  openTrial,
  startHouse,
  type Window,
} from '@bullpen/testkit';
import { afterEach, expect, it } from 'vitest';
import { seed } from './seed.ts';

const leaseMs = 1500;
const rounds = process.env['FAULTS_FULL'] ? 4 : 1;

let house: House;
afterEach(() => house.stop());

it(
  `X44 everything is killed at once and started in random order (seed ${seed}): I1, I2, I3, I4, I5, I7, I12`,
  async () => {
    const dice = createDice(seed);
    const env = {
      HANDLERS: 'libs/handlers/src,libs/testkit/handlers',
      LEASE_MS: String(leaseMs),
      WORKER_CONCURRENCY: '20',
      PORT: await freePort(),
    };
    house = await startHouse({ workers: 3, ownServers: true, env });
    const trial = openTrial(house);
    const done = await trial.submit({ count: 3000, options: { chunkSize: 300 } });
    await trial.client.settle();
    const during: Window[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await trial.submit({ count: 2000, ms: 40, options: { chunkSize: 20 } });
      await trial.submit({ count: 800, ms: 20, keys: 50, options: { chunkSize: 20 } });
      await trial.started(3000 + 2800 * round + 300 + dice.below(800));
      const apps = [house.producer, ...house.workers];
      // One that is submitted while it happens is told what has become of it, under its key.
      const late = trial.submit({ count: 50 });
      const from = Date.now();
      await Promise.all([
        house.servers.end('postgres', 'SIGKILL'),
        hasRedis && house.servers.end('redis', 'SIGKILL'),
        ...apps.map((app) => app.end('SIGKILL')),
      ]);
      const order = apps.map((app) => ({ app, at: dice.roll() })).sort((a, b) => a.at - b.at);
      await Promise.all(
        order.map(async ({ app, at }) => {
          await dice.wait(1500 * at);
          // It may meet a server that is not back yet; its supervisor would start it again.
          await eventually(`${app.app} starts`, () => app.restart().then(() => true, () => false)); // prettier-ignore
        }),
      );
      during.push({ from, to: Date.now() + 2 * leaseMs });
      await late;
    }
    expect((await trial.client.read(done))!.state).toBe('completed');
    expect(await trial.outcome({ during })).toEqual([]);
  },
  60_000 + rounds * 30_000,
);
