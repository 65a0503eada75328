import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, hasRedis, type House, openTrial, redisCommand, startHouse, type Trial } from '@bullpen/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const leaseMs = 1500;
const isFull = process.env['FAULTS_FULL'] !== undefined;
/** A minute by `npm run test:faults`. */
const awayMs = isFull ? 60_000 : 3 * leaseMs;

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

describe.runIf(hasRedis)('Redis', () => {
  it.each([
    ['X8', 'restarted', 'SIGTERM'],
    ['X9', 'killed', 'SIGKILL'],
  ] as const)('%s %s: I1, I2, I3, I4, I5, I7', async (_x, _how, signal) => {
    await begin();
    await house.servers.back('redis', await house.servers.end('redis', signal));
    expect(await trial.outcome()).toEqual([]);
  });

  it(
    'X11 away for long, and back empty: I1, I2, I3, I4, I5, I7, I11',
    async () => {
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
    },
    awayMs + 60_000,
  );

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
});

/** Redis refuses all that writes. */
describe.runIf(hasRedis)('Redis, with more jobs than its workers hold,', () => {
  let crowded: House;
  beforeAll(async () => {
    const env = { HANDLERS: 'libs/testkit/handlers', LEASE_MS: String(leaseMs), WORKER_CHUNKS: '2' };
    crowded = await startHouse({ workers: 2, partitions: 1, ownServers: true, env });
  });
  afterAll(() => crowded?.stop());

  const redis = (command: string, ...args: string[]) => redisCommand(crowded.redisUrl, command, ...args);
  const config = (name: string, value: string) => redis('CONFIG', 'SET', name, value);
  const commands = async (): Promise<number> =>
    Number(/total_commands_processed:(\d+)/.exec(String(await redis('INFO', 'stats')))![1]);
  const waiting = async (): Promise<number> => {
    const [key] = (await redis('KEYS', '*:wait')) as string[];
    return key === undefined ? 0 : Number(await redis('LLEN', key));
  };
  const saved = (how: 'ok' | 'err'): Promise<unknown> =>
    eventually(`a save ends: ${how}`, async () => {
      await redis('BGSAVE').catch(() => undefined);
      return String(await redis('INFO', 'persistence')).includes(`rdb_last_bgsave_status:${how}`);
    });
  /** A folder stands where its file would be. */
  const inTheWay = async (): Promise<string> => {
    const [folder, file] = await Promise.all(['dir', 'dbfilename'].map((name) => redis('CONFIG', 'GET', name)));
    return join((folder as string[])[1]!, (file as string[])[1]!);
  };

  it('X10 emptied at 10, 50 and 90 %: I1, I2, I3, I4, I5, I7', async () => {
    const trial = openTrial(crowded);
    await trial.submit({ count: 1500, ms: 10, options: { chunkSize: 1 } });
    await trial.submit({ count: 500, ms: 10, keys: 50, options: { chunkSize: 10 } });
    for (const share of [0.1, 0.5, 0.9]) {
      await trial.started(2000 * share);
      await eventually('jobs wait', async () => (await waiting()) > 0);
      await redis('FLUSHALL');
    }
    expect(await trial.outcome()).toEqual([]);
  });

  const refusals = {
    'at maxmemory': { start: () => config('maxmemory', '1'), end: () => config('maxmemory', '0') },
    'a replica that takes no writes': {
      start: () => redis('REPLICAOF', '127.0.0.1', '1'),
      end: () => redis('REPLICAOF', 'NO', 'ONE'),
    },
    'without the replicas that it wants': {
      start: () => config('min-replicas-to-write', '1'),
      end: () => config('min-replicas-to-write', '0'),
    },
    'unable to save': {
      start: async () => {
        await rm(await inTheWay(), { force: true });
        await mkdir(join(await inTheWay(), 'full'), { recursive: true });
        await config('save', '3600 1');
        await saved('err');
      },
      end: async () => {
        await rm(await inTheWay(), { recursive: true });
        await saved('ok');
        await config('save', '');
      },
    },
  };
  const played = Object.entries(refusals).filter(([how]) => isFull || how !== 'without the replicas that it wants');
  it.each(played)('X13 %s: I1, I2, I3, I4, I5, I7', async (how, { start, end }) => {
    const trial = openTrial(crowded);
    await trial.submit({ count: 1000, ms: 10, options: { chunkSize: 1 } });
    await trial.submit({ count: 200, ms: 2, keys: 50, options: { chunkSize: 10 } });
    await eventually('jobs wait', async () => (await waiting()) > 60);
    await start();
    const before = await commands();
    await sleep(3 * leaseMs);
    const rate = ((await commands()) - before) / ((3 * leaseMs) / 1000);
    const left = await waiting();
    await end();
    // Of a full one what it has can be taken and ended, and nothing more be added.
    if (how !== 'at maxmemory') expect(left).toBeGreaterThan(0);
    // One that asks again at once comes to 20 000.
    expect(rate).toBeLessThan(5000);
    expect(await trial.outcome()).toEqual([]);
  });
});
