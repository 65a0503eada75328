import { setTimeout as sleep } from 'node:timers/promises';
import {
  checkLedger,
  createAttempts,
  createDice,
  eventually,
  type House,
  readOrder,
  startHouse,
} from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const handlers = 'libs/handlers/src,libs/testkit/handlers';
const env = { HANDLERS: handlers, WORKER_CONCURRENCY: '50' };
const ordered = { groupBy: 'key', ordered: true };

/** So many items of so many groups in turn. */
const inputs = (n: number, groups: number, more: (index: number) => object = () => ({})) =>
  Array.from({ length: n }, (_, index) => ({ key: `k${index % groups}`, ...more(index) }));

async function endsInOrder(id: string, total: number): Promise<void> {
  expect((await house.ended(id, 60_000)).counts).toMatchObject({ total, succeeded: total, failed: 0 });
  expect(await checkLedger(house.database)).toEqual([]);
  expect(await readOrder(house.database)).toMatchObject({ inversions: [], gaps: [] });
}

describe('groups in order', () => {
  it('run one item after the other, over chunks and retries, while others go on', async () => {
    house = await startHouse({ workers: 2, env });
    await createAttempts(house.database);
    const items = inputs(2000, 40, (index) => ({ ms: index % 3, retries: index % 50 === 7 ? 1 : 0 }));
    const id = await house.submit({ handler: 'grouped', inputs: items, options: { ...ordered, chunkSize: 50 } });
    await endsInOrder(id, 2000);
    expect((await readOrder(house.database)).committed).toBe(2000);
  });

  it('stay so when workers are killed and frozen, partitions move and the queues forget everything', async () => {
    house = await startHouse({ workers: 3, env });
    await createAttempts(house.database);
    const dice = createDice(Date.now());
    const items = inputs(4000, 60, () => ({ ms: dice.below(8), retries: dice.chance(0.05) ? 1 : 0 }));
    const id = await house.submit({ handler: 'grouped', inputs: items, options: { ...ordered, chunkSize: 50 } });
    const isOver = async () => (await house.batch(id)).state === 'completed';
    for (let fault = 0; fault < 6 && !(await isOver()); fault += 1) {
      const worker = house.workers[fault % 3]!;
      if (fault % 3 === 0) {
        await worker.end('SIGKILL');
        await worker.restart();
      } else if (fault % 3 === 1) {
        worker.signal('SIGSTOP');
        await sleep(3000);
        worker.signal('SIGCONT');
      } else await house.forgetJobs();
      await sleep(500);
    }
    await endsInOrder(id, 4000);
  });

  it('an item that backs off holds up its group and nobody else', async () => {
    house = await startHouse({ workers: 1, env });
    await createAttempts(house.database);
    const items = inputs(300, 30, (index) => (index === 0 ? { retries: 1, waitMs: 3_600_000 } : {}));
    const id = await house.submit({ handler: 'grouped', inputs: items, options: { ...ordered, chunkSize: 100 } });
    await eventually('all others are over', async () => (await house.batch(id)).counts.succeeded === 290);
    const waiting = await eventually('the line is given back', async () => {
      const { counts } = await house.batch(id);
      return counts.running === 0 && counts;
    });
    expect(waiting).toMatchObject({ pending: 10, succeeded: 290 });
    await house.database.db.execute(
      sql`update chunks set not_before = now(), tries = json_build_array(json_build_array(0, 2, 0)) where state = 'pending'`,
    );
    await endsInOrder(id, 300);
  });

  it('come to the same as without groups, also in threads', async () => {
    house = await startHouse({ workers: 2, env });
    const items = Array.from({ length: 300 }, (_, n) => ({ n, key: n % 7, ...(n === 0 && { one: 1 }) }));
    const results = async (handler: string, options: object): Promise<unknown> => {
      const id = await house.submit({
        handler,
        inputs: items,
        params: {},
        options: { seed: 7, backoffMs: 1, chunkSize: 40, ...options },
      });
      await house.ended(id);
      const { body } = await house.request<{ items: { finishedAt: string }[] }>(`/v1/batches/${id}/results?limit=1000`);
      return body.items.map((each) => ({ ...each, finishedAt: null }));
    };
    const plain = await results('varied', {});
    expect(await results('varied', ordered)).toEqual(plain);
    expect(await results('varied', { groupBy: 'key', groupConcurrency: 3 })).toEqual(plain);
    expect(await results('varied', { groupBy: '/one' })).toEqual(plain);
    expect(await results('varied-in-threads', ordered)).toEqual(plain);
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('44 000 groups in 136 000 items all come to their end', async () => {
    house = await startHouse({ workers: 3, env });
    const lines = Array.from({ length: 136_000 }, (_, i) =>
      JSON.stringify({ key: `customer-${(i * 7919) % 44_000}`, i }),
    ).join('\n');
    const { status, body } = await house.request<{ id: string }>('/v1/batches?handler=ack&groupBy=key&ordered=true', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: lines,
    });
    expect(status).toBe(202);
    expect((await house.ended(body.id, 60_000)).counts).toMatchObject({ total: 136_000, succeeded: 136_000 });
    expect(await checkLedger(house.database)).toEqual([]);
  });
});
