import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AppProcess,
  eventually,
  hasRedis,
  type House,
  openProxy,
  openTrial,
  type Proxy,
  startHouse,
  type Trial,
} from '@bullpen/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const leaseMs = 1500;
const isFull = process.env['FAULTS_FULL'] !== undefined;

let house: House;
let trial: Trial;
/** Goes to its servers through proxies of its own. */
let far: AppProcess;
let redis: Proxy;
let postgres: Proxy;
beforeAll(async () => {
  const env = {
    HANDLERS: 'libs/handlers/src,libs/testkit/handlers',
    LEASE_MS: String(leaseMs),
    WORKER_CONCURRENCY: '20',
  };
  house = await startHouse({ workers: 1, proxied: true, env });
  postgres = await openProxy(house.database.url);
  redis = hasRedis ? await openProxy(house.redisUrl) : postgres;
  far = await house.addWorker({ DATABASE_URL: postgres.url, REDIS_URL: hasRedis ? redis.url : '' });
});
afterAll(async () => {
  await house.stop();
  await Promise.all([redis.close(), postgres.close()]);
});
beforeEach(() => void (trial = openTrial(house)));
afterEach(() => Promise.all([redis, postgres].map((proxy) => proxy.set({}))));

/** Some seconds of work for two workers, to which the far one has come. */
async function begin(): Promise<void> {
  await eventually('it has its share', () => owns());
  await trial.submit({ count: 1500, ms: 40, options: { chunkSize: 20 } });
  await trial.submit({ count: 600, ms: 20, keys: 50, options: { chunkSize: 20 } });
  await trial.started(100);
  await eventually('it is at work', async () => (await trial.executions()).some(({ pid }) => pid === far.pid()));
}

async function owns(): Promise<boolean> {
  const { body } = await house.request<{ items: { pid: number; partitions: number[] }[] }>('/v1/workers');
  return body.items.some(({ pid, partitions }) => pid === far.pid() && partitions.length > 0);
}

/** What ran so long before the cut may wait for its flush still. */
const unflushedMs = 1000;

/** Items that the far worker has started since then: only these may run once more. */
const ranSince = async (at: number): Promise<number> =>
  (await trial.executions()).filter(({ pid, startedAt }) => pid === far.pid() && startedAt >= at).length;

/** Of the far worker: what it has in handlers, and what waits for its flush. */
const inHands = 8 * 20 + 100;

describe('X20 the reply is lost after the commit', () => {
  const statements = [
    { what: 'an accept', way: 'up', ms: 5 },
    { what: 'a claim', way: 'down', ms: 5 },
    { what: 'a flush', way: 'up', ms: 100 },
  ] as const;
  const cases = statements.flatMap((each) => [true, false].map((ordered) => ({ ...each, ordered })));
  it.each(cases)('of $what, in order: $ordered: I1, I2, I3, I4, I5, I7', async ({ what, way, ms, ordered }) => {
    const label = `lost-${randomUUID()}`;
    const work = { count: 60, ms, keys: 6, label, ordered, options: { chunkSize: 10 } };
    const drop = (): Promise<void> =>
      Promise.race([house.proxies.postgres, postgres].map((proxy) => proxy.dropReply(way, label)));
    if (what === 'a flush') {
      // Outputs have the keys of the inputs, which the accept has sent before.
      await trial.submit(work);
      await drop();
    } else {
      await Promise.all([drop(), trial.submit(work)]);
    }
    expect(await trial.outcome()).toEqual([]);
  });
});

describe('a worker', () => {
  const holes = [
    ['PostgreSQL', 'both'],
    ['PostgreSQL', 'up'],
    ['PostgreSQL', 'down'],
    ['Redis', 'both'],
    ['both', 'both'],
    ...(isFull ? ([['Redis', 'up'], ['Redis', 'down'], ['both', 'up'], ['both', 'down']] as const) : []),
  ] as const; // prettier-ignore
  it.each(holes)('X23 cut off from %s, ways: %s: I1, I2, I3, I4, I5, I6, I7', async (server, hole) => {
    await begin();
    const cutAt = Date.now();
    if (server !== 'Redis') await postgres.set({ hole });
    if (server !== 'PostgreSQL') await redis.set({ hole });
    await sleep(3 * leaseMs);
    const repeatsMax = server === 'Redis' ? 0 : await ranSince(cutAt - unflushedMs);
    await Promise.all([redis, postgres].map((proxy) => proxy.set({})));
    expect(await trial.outcome({ repeatsMax })).toEqual([]);
    await eventually('it has its share again', () => owns());
  });

  it('X24 far away, whose connections are reset again and again: I1, I2, I3, I4, I5, I7', async () => {
    await begin();
    const farAt = Date.now();
    await Promise.all([redis, postgres].map((proxy) => proxy.set({ delayMs: 30, jitterMs: 40 })));
    for (let reset = 0; reset < 12; reset += 1) {
      await sleep(100 + Math.random() * 400);
      (Math.random() < 0.5 ? redis : postgres).reset();
    }
    expect(await trial.outcome({ repeatsMax: await ranSince(farAt - unflushedMs) })).toEqual([]);
  });

  it.runIf(isFull)(
    'X25 with 5 kB a second to its servers: I1, I2, I3, I4, I5, I7',
    async () => {
      await begin();
      await Promise.all([redis, postgres].map((proxy) => proxy.set({ bytesPerSecond: 5000 })));
      expect(await trial.outcome({ repeatsMax: inHands, withinMs: 90_000 })).toEqual([]);
      await Promise.all([redis, postgres].map((proxy) => proxy.set({})));
      await eventually('it has its share again', () => owns());
    },
    120_000,
  );
});
