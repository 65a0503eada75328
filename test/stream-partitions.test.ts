import {
  checkLedger,
  createAttempts,
  eventually,
  type House,
  leaseHistory,
  readOrder,
  recordLeases,
  startHouse,
} from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const handlers = 'libs/handlers/src,libs/testkit/handlers';
const leaseMs = 1500;

interface WorkerFacts {
  id: string;
  partitions: number[];
  itemsDone: number;
  helping: string | null;
  idle: string | null;
}

const listWorkers = async (): Promise<WorkerFacts[]> =>
  (await house.request<{ items: WorkerFacts[] }>('/v1/workers')).body.items;

/** Each of the partitions has an owner, and each worker so many. */
const shared = (counts: string): Promise<WorkerFacts[]> =>
  eventually(`they own ${counts}`, async () => {
    const workers = await listWorkers();
    const owned = workers.map(({ partitions }) => partitions.length).sort((a, b) => a - b);
    return owned.join(',') === counts && workers;
  });

const openStream = (handler: string): Promise<string> =>
  house.submit({ handler, options: { open: true, groupBy: 'key', ordered: true } });

/** One append; answers the index of its first item. */
async function append(id: string, items: readonly object[], key?: string): Promise<number> {
  const { status, body } = await house.request<{ firstIndex: number }>(`/v1/batches/${id}/items`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) },
    body: JSON.stringify(items),
  });
  expect(status).toBe(202);
  return body.firstIndex;
}

const close = (id: string) => house.request(`/v1/batches/${id}/close`, { method: 'POST' });

describe('an item that takes for ever', () => {
  it('holds up its key, and no other key of its partition, and no other partition', async () => {
    house = await startHouse({ workers: 3, env: { WORKER_CONCURRENCY: '20' } });
    const id = await openStream('sleep');
    const keys = Array.from({ length: 120 }, (_, n) => `k${n}`);
    const slow = { key: 'k7', ms: 3_600_000 };
    await append(id, [slow, ...keys.map((key) => ({ key, ms: 0 }))]);
    for (let round = 0; round < 4; round += 1)
      await append(
        id,
        [...keys, ...keys].map((key) => ({ key, ms: 0 })),
      );
    const ofOthers = 119 * 9;
    await eventually('all others are over', async () => (await house.batch(id)).counts.succeeded >= ofOthers, 30_000);
    expect((await house.batch(id)).counts).toMatchObject({ total: 121 + 960, succeeded: ofOthers, failed: 0 });
    const done = await house.database.db.execute(
      sql`select distinct r.output->>'ms' as ms, count(*)::int as n from results r group by 1`,
    );
    expect(done).toEqual([{ ms: '0', n: ofOthers }]);
    const rows = await house.database.db.execute<{ partition: number }>(
      sql`select distinct partition from chunks where state <> 'done'`,
    );
    expect(rows).toHaveLength(1);
    // And what comes now is not held up either.
    await append(
      id,
      keys.map((key) => ({ key, ms: 0 })),
    );
    await eventually('that is over', async () => (await house.batch(id)).counts.succeeded === ofOthers + 119);
  });
});

describe('workers of a stream', () => {
  it.each([
    ['find their partitions', [null, null, null]],
    ['have those that are named', ['0-2,11', '3-6', '7-10']],
  ])('%s: each has one owner, and each key its order', async (_, pins) => {
    house = await startHouse({ workers: 0, env: { HANDLERS: handlers } });
    await createAttempts(house.database);
    await recordLeases(house.database);
    await Promise.all(pins.map((named) => house.addWorker(named === null ? {} : { WORKER_PARTITIONS: named })));
    await shared('4,4,4');
    const owned = async () => (await listWorkers()).map(({ partitions }) => partitions.join());
    if (pins[0] !== null)
      await eventually(
        'each has its own',
        async () => (await owned()).sort().join(' ') === '0,1,2,11 3,4,5,6 7,8,9,10',
      );
    const id = await openStream('grouped');
    const producers = [0, 1, 2, 3];
    const appends = 10;
    await Promise.all(
      producers.map(async (producer) => {
        for (let n = 0; n < appends; n += 1) {
          const items = Array.from({ length: 40 }, (__, i) => ({ key: `p${producer}-k${i % 8}`, ms: (n + i) % 3 }));
          // Sent twice, as after a lost answer: stored once.
          const first = await append(id, items, `${producer}-${n}`);
          expect(await append(id, items, `${producer}-${n}`)).toBe(first);
        }
      }),
    );
    await close(id);
    const total = producers.length * appends * 40;
    expect((await house.ended(id, 60_000)).counts).toMatchObject({ total, succeeded: total });
    expect(await readOrder(house.database)).toMatchObject({ committed: total, inversions: [], gaps: [] });
    expect(await checkLedger(house.database)).toEqual([]);
    const after = await shared('4,4,4');
    expect(new Set(after.flatMap(({ partitions }) => partitions)).size).toBe(12);
    expect(after.every(({ itemsDone }) => itemsDone > 0)).toBe(true);
    const { faults } = await leaseHistory(house.database, leaseMs);
    expect(faults).toEqual([]);
  });

  it('one more than there are partitions helps with what has no order, and says whom; where it can help nobody, why', async () => {
    house = await startHouse({ workers: 3, partitions: 3, env: { HANDLERS: handlers, WORKER_CONCURRENCY: '10' } });
    await shared('1,1,1');
    const fourth = await house.addWorker();
    const facts = async (id: unknown) => (await listWorkers()).find((each) => each.id === id);
    const helped = await eventually('it helps', async () => (await facts(fourth.facts()['id']))?.helping);
    expect((await listWorkers()).some(({ id, partitions }) => id === helped && partitions.length === 1)).toBe(true);
    const stream = await openStream('sleep');
    await append(
      stream,
      Array.from({ length: 300 }, (_, n) => ({ key: `k${n % 30}`, ms: 1 })),
    );
    await close(stream);
    await house.ended(stream);
    const sum = (workers: WorkerFacts[]): number => workers.reduce((all, { itemsDone }) => all + itemsDone, 0);
    await eventually('all say what they did', async () => sum(await listWorkers()) === 300);
    expect((await facts(fourth.facts()['id']))!.itemsDone).toBe(0);
    const id = await house.submit({ handler: 'sleep', count: 2000, params: { ms: 10 }, options: { chunkSize: 20 } });
    await house.ended(id);
    await eventually('it has helped', async () => (await facts(fourth.facts()['id']))!.itemsDone > 0);
    const stranger = await house.addWorker({ HANDLERS: 'libs/handlers/src' });
    await eventually('it says why', async () =>
      /does not know/.test((await facts(stranger.facts()['id']))?.idle ?? ''),
    );
  });
});
