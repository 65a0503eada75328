import { eventually, type House, startHouse } from '@bullpen/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { type Delayed, delayed } from '../bench/kit/delay.ts';

let house: House;
const proxies: Delayed[] = [];
afterEach(async () => {
  await house.stop();
  await Promise.all(proxies.splice(0).map((proxy) => proxy.stop()));
});

/** A worker that is so many ms away from both servers; the producer stays with them. */
async function workerAway(ms: number, env: Record<string, string> = {}) {
  const urlAway = async (url: string): Promise<string> => {
    if (url === '') return '';
    const proxy = await delayed(url, ms);
    proxies.push(proxy);
    return proxy.url;
  };
  return house.addWorker({
    DATABASE_URL: await urlAway(house.database.url),
    REDIS_URL: await urlAway(house.redisUrl),
    ...env,
  });
}

interface WorkerFacts {
  chunksInFlight: number;
}

const worker = async (): Promise<WorkerFacts | undefined> =>
  (await house.request<{ items: WorkerFacts[] }>('/v1/workers')).body.items[0];

/** Statements that it waited for, for 10 000 items: the last, shorter window is written too. */
function tripsOf(log: string): { claims: number; flushes: number } {
  const windows = log
    .split('\n')
    .filter((line) => line.includes('"msg":"window"'))
    .map((line) => JSON.parse(line) as Record<'items' | 'claims' | 'flushes', number>);
  const sum = (name: 'items' | 'claims' | 'flushes'): number => windows.reduce((all, each) => all + each[name], 0);
  const per10k = (name: 'claims' | 'flushes'): number => (sum(name) / sum('items')) * 10_000;
  return { claims: per10k('claims'), flushes: per10k('flushes') };
}

describe('a worker 50 ms away from its servers', () => {
  it('goes to them no more often for 10 000 items than one beside them, and once for many chunks', async () => {
    house = await startHouse({ workers: 0, env: { METRICS_WINDOW_MS: '1000' } });
    const trips = [];
    for (const ms of [0, 50]) {
      const app = await workerAway(ms);
      await house.ended(await house.submit({ handler: 'echo', count: 300_000 }), 60_000);
      await app.end('SIGTERM');
      trips.push(tripsOf(app.log()));
    }
    const [near, far] = trips.map(({ claims, flushes }) => claims + flushes);
    console.log(`trips for 10 000 items: ${near!.toFixed(1)} here, ${far!.toFixed(1)} from 50 ms away`);
    // With a trip to fetch and one to finish each, there would be 20 of the ten chunks, and 20 000 of the items.
    for (const each of [near, far]) expect(each).toBeLessThan(10);
    expect(far! / near!).toBeLessThan(2);
  });
});

describe('WORKER_CHUNKS=auto', () => {
  it('has more chunks in hand the farther the servers are, for the same rate', async () => {
    house = await startHouse({ workers: 0 });
    // 50 at once that wait 10 ms each: 5 000 items, or 100 chunks of 50, a second at any distance.
    const env = { WORKER_CONCURRENCY: '50' };
    const id = await house.submit({
      handler: 'sleep',
      count: 1_000_000,
      params: { ms: 10 },
      options: { chunkSize: 50 },
    });
    let most = 0;
    const near = await workerAway(0, env);
    const paceFound = async (): Promise<boolean> => {
      most = Math.max(most, (await worker())!.chunksInFlight);
      return (await house.batch(id)).counts.succeeded > 30_000;
    };
    await eventually('it has found its pace', paceFound, 60_000);
    await near.end('SIGTERM');
    await workerAway(200, env);
    const holdsMore = async (): Promise<boolean> => ((await worker())?.chunksInFlight ?? 0) > 1.5 * most;
    await eventually(`more than ${1.5 * most} are in hand`, holdsMore, 45_000);
  }, 120_000);
});
