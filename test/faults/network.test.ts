import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDice, eventually, type House, openTrial, startHouse, type Trial, type Window } from '@bullpen/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { addFarWorker, type FarWorker } from './far-worker.ts';
import { seed } from './seed.ts';

const leaseMs = 1500;
const isFull = process.env['FAULTS_FULL'] !== undefined;

let house: House;
let trial: Trial;
let far: FarWorker;
beforeAll(async () => {
  const env = {
    HANDLERS: 'libs/handlers/src,libs/testkit/handlers',
    LEASE_MS: String(leaseMs),
    WORKER_CONCURRENCY: '20',
  };
  house = await startHouse({ workers: 1, proxied: true, env });
  far = await addFarWorker(house);
});
afterAll(async () => {
  await house.stop();
  await far.close();
});
beforeEach(() => void (trial = openTrial(house)));
afterEach(() => far.heal());

/** Some seconds of work for two workers, to which the far one has come. */
async function begin(): Promise<void> {
  await far.hasShare();
  await trial.submit({ count: 3000, ms: 40, options: { chunkSize: 20 } });
  await trial.submit({ count: 1000, ms: 20, keys: 50, options: { chunkSize: 20 } });
  await trial.started(100);
  await eventually('it is at work', async () => (await trial.executions()).some(({ pid }) => pid === far.app.pid()));
}

/** Only what the far worker ran meanwhile may have been for nothing, and what it goes on with until it is told. */
async function timeOf(fault: () => Promise<unknown>): Promise<Window> {
  const from = Date.now();
  await fault();
  return { from, to: Date.now() + 2 * leaseMs, pid: far.app.pid() };
}

const isOpen = async (): Promise<boolean> => {
  const { body } = await house.request<{ items: { state: string }[] }>('/v1/batches?state=running');
  return body.items.length > 0;
};

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
    // Outputs have the keys of the inputs, but not first.
    const text = what === 'a flush' ? `","key":"${label}` : label;
    const drop = (): Promise<void> =>
      Promise.race([house.proxies.postgres, far.postgres].map((proxy) => proxy.dropReply(way, text)));
    await Promise.all([drop(), trial.submit(work)]);
    expect(await trial.outcome()).toEqual([]);
    // It is asked again under the same id, and nothing has to be put right.
    for (const worker of house.workers) expect(worker.log()).not.toContain('claims whose reply was lost');
  });
});

describe('a worker', () => {
  const holes = [
    ['PostgreSQL', 'down'],
    ['Redis', 'both'],
    ['both', 'both'],
    ...(isFull ? ([['PostgreSQL', 'both'], ['PostgreSQL', 'up'], ['Redis', 'up'], ['Redis', 'down'], ['both', 'up'], ['both', 'down']] as const) : []),
  ] as const; // prettier-ignore
  it.each(holes)('X23 cut off from %s, ways: %s: I1, I2, I3, I4, I5, I6, I7', async (server, hole) => {
    await begin();
    const during = await timeOf(async () => {
      if (server !== 'Redis') await far.postgres.set({ hole });
      if (server !== 'PostgreSQL') await far.redis.set({ hole });
      expect(await isOpen()).toBe(true);
      await sleep(3 * leaseMs);
      await far.heal();
    });
    expect(await trial.outcome(server === 'Redis' ? {} : { during: [during] })).toEqual([]);
    await far.hasShare();
  });

  it('X24 far away, whose connections are reset again and again: I1, I2, I3, I4, I5, I7', async () => {
    await begin();
    const dice = createDice(seed);
    const during = await timeOf(async () => {
      for (const proxy of [far.redis, far.postgres]) await proxy.set({ delayMs: 30, jitterMs: 40 });
      for (let reset = 0; reset < 8; reset += 1) {
        await dice.wait(400);
        expect(await isOpen()).toBe(true);
        (dice.chance(0.5) ? far.redis : far.postgres).reset();
      }
      await far.heal();
    });
    expect(await trial.outcome({ during: [during] })).toEqual([]);
  });
});
