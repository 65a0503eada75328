import { setTimeout as sleep } from 'node:timers/promises';
import { type BatchAnswer, checkLedger, eventually, type House, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const control = async (id: string, action: string): Promise<BatchAnswer> => {
  const { status, body } = await house.request<BatchAnswer>(`/v1/batches/${id}/${action}`, { method: 'POST' });
  expect({ status, body }).toMatchObject({ status: 200 });
  return body;
};
const started = async (id: string): Promise<number> => {
  const { counts } = await house.batch(id);
  return counts.succeeded + counts.running;
};

describe('a running batch of a million items', () => {
  it('starts nothing more soon after it was cancelled, keeps what was done, and leaves its workers to others', async () => {
    house = await startHouse({ workers: 3 });
    const id = await house.submit({ handler: 'sleep', count: 1_000_000, params: { ms: 5 } });
    await eventually('it runs', async () => (await house.batch(id)).counts.succeeded > 2000);
    const { counts } = await control(id, 'cancel');
    expect(counts.succeeded + counts.running + counts.cancelled).toBe(1_000_000);
    await sleep(2000);
    const then = await house.batch(id);
    expect(then.counts).toMatchObject({ running: 0, pending: 0, failed: 0 });
    expect(then.counts.succeeded).toBeGreaterThanOrEqual(counts.succeeded);
    expect(
      (await house.ended(await house.submit({ handler: 'sleep', count: 3000, params: { ms: 5 } }))).counts,
    ).toMatchObject({
      succeeded: 3000,
    });
    expect((await house.batch(id)).counts).toEqual(then.counts);
    const [{ rows }] = (await house.database.db.execute(sql`
      select count(*)::int as rows from results where batch = (select no from batches where id = ${id}::uuid)`)) as unknown as [
      { rows: number },
    ];
    expect(rows).toBe(then.counts.succeeded);
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('stands still while it is paused, and loses and doubles nothing over many pauses', async () => {
    house = await startHouse({ workers: 2 });
    const id = await house.submit({ handler: 'sleep', count: 20_000, params: { ms: 1 } });
    for (let round = 0; round < 4; round += 1) {
      const before = await started(id);
      await eventually('it goes on', async () => (await started(id)) > before);
      await control(id, 'pause');
      await eventually('nothing of it runs', async () => (await house.batch(id)).counts.running === 0);
      const { counts } = await house.batch(id);
      await sleep(300);
      expect((await house.batch(id)).counts).toEqual(counts);
      await control(id, 'resume');
    }
    expect((await house.ended(id)).counts).toMatchObject({ succeeded: 20_000, failed: 0 });
    expect(await checkLedger(house.database)).toEqual([]);
  });
});
