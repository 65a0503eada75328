import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, hasRedis, type House, openTrial, redisCommand, startHouse, type Trial } from '@bullpen/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const leaseMs = 1500;
/** A minute by `npm run test:faults`. */
const awayMs = process.env['FAULTS_FULL'] ? 60_000 : 3 * leaseMs;

let house: House;
let trial: Trial;
beforeAll(async () => {
  if (!hasRedis) return;
  const env = {
    HANDLERS: 'libs/handlers/src,libs/testkit/handlers',
    LEASE_MS: String(leaseMs),
    WORKER_CONCURRENCY: '20',
  };
  house = await startHouse({ workers: 2, ownServers: true, proxied: true, env });
});
afterAll(() => house?.stop());
beforeEach(() => void (trial = openTrial(house)));

/** Some seconds of work for two workers, of which a part is under way. */
async function begin(): Promise<void> {
  await trial.submit({ count: 2000, ms: 40, options: { chunkSize: 20 } });
  await trial.submit({ count: 1000, ms: 20, keys: 50, options: { chunkSize: 20 } });
  await trial.started(200);
}

const redis = (command: string, ...args: string[]): Promise<unknown> => redisCommand(house.redisUrl, command, ...args);
const commands = async (): Promise<number> =>
  Number(/total_commands_processed:(\d+)/.exec(String(await redis('INFO', 'stats')))![1]);

describe.runIf(hasRedis)('Redis', () => {
  it.each([
    ['X8', 'restarted', 'SIGTERM'],
    ['X9', 'killed', 'SIGKILL'],
  ] as const)('%s %s: I1, I2, I3, I4, I5, I7', async (_x, _how, signal) => {
    await begin();
    await house.servers.back('redis', await house.servers.end('redis', signal));
    expect(await trial.outcome()).toEqual([]);
  });

  it('X10 emptied at 10, 50 and 90 %: I1, I2, I3, I4, I5, I7', async () => {
    await begin();
    for (const share of [0.1, 0.5, 0.9]) {
      await trial.started(3000 * share);
      await redis('FLUSHALL');
    }
    expect(await trial.outcome()).toEqual([]);
  });

  it('X11 away for long, and back empty: I1, I2, I3, I4, I5, I7, I11', async () => {
    await begin();
    await house.proxies.redis!.set({ refuses: true });
    await redis('FLUSHALL');
    // What comes meanwhile is accepted all the same.
    await trial.submit({ count: 100 });
    await sleep(awayMs);
    expect((await house.request('/readyz')).status).toBe(503);
    await house.proxies.redis!.set({});
    await eventually('it is ready within 2 s', async () => (await house.request('/readyz')).status === 200, 2000);
    expect(await trial.outcome()).toEqual([]);
  });

  it('X12 frozen for longer than its locks: I1, I2, I3, I4, I5, I7', async () => {
    await begin();
    const thaw = await house.servers.freeze('redis');
    await sleep(3 * leaseMs);
    thaw();
    expect(await trial.outcome()).toEqual([]);
  });

  it('X23 its connections die without a word, new ones work: I1, I2, I3, I4, I5, I7', async () => {
    await begin();
    await house.proxies.redis!.set({ forgetsOpen: true });
    const started = performance.now();
    expect(await trial.outcome()).toEqual([]);
    console.log(`over ${Math.round((performance.now() - started) / 1000)} s after its connections died`);
    await house.proxies.redis!.set({});
  });

  const refusals = {
    'at maxmemory': [['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0']],
    'a replica that takes no writes': [['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE']],
    'without the replicas that it wants': [['CONFIG', 'SET', 'min-replicas-to-write', '1'], ['CONFIG', 'SET', 'min-replicas-to-write', '0']],
  } as const; // prettier-ignore
  it.each(Object.entries(refusals))('X13 %s: I1, I2, I3, I4, I5, I7', async (_, [start, end]) => {
    await begin();
    const [command, ...args] = start;
    await redis(command, ...args);
    const before = await commands();
    await sleep(3 * leaseMs);
    const rate = ((await commands()) - before) / ((3 * leaseMs) / 1000);
    const [undo, ...undoing] = end;
    await redis(undo, ...undoing);
    // Each of 24 consumers and 12 queues asks again, but none in a hot loop, which would be thousands.
    console.log(`${Math.round(rate)} commands/s while it refuses`);
    expect(rate).toBeLessThan(1000);
    expect(await trial.outcome()).toEqual([]);
  });
});
