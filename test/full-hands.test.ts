import { checkLedger, createAttempts, eventually, type House, readOrder, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const env = { HANDLERS: 'libs/handlers/src,libs/testkit/handlers', WORKER_CONCURRENCY: '50' };
const pad = 'x'.repeat(128 * 1024);

async function upload(handler: string, items: readonly object[]): Promise<string> {
  const { status, body } = await house.request<{ id: string }>(
    `/v1/batches?handler=${handler}&groupBy=key&ordered=true`,
    {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: items.map((item) => JSON.stringify(item)).join('\n'),
    },
  );
  expect(status).toBe(202);
  return body.id;
}

/** More of one key than what all lines of a worker may hold (claiming.ts); the first is as it is said. */
const tooMany = (first: object) =>
  Array.from({ length: 450 }, (_, n) => ({ key: 'a', pad, ...(n === 0 ? first : {}) }));

/** Rows in hand. */
const rowsOf = async (id: string): Promise<{ running: number; open: number }> => {
  const [found] = await house.database.db.execute<{ running: number; open: number }>(
    sql`select count(*) filter (where c.state = 'running')::int as running, count(*) filter (where c.state <> 'done')::int as open
        from chunks c join batches b on b.no = c.batch where b.id = ${id}`,
  );
  return found!;
};

describe('a line that is longer than a hand', () => {
  it('is let go of but for its first row while that only waits, and goes on in order', async () => {
    house = await startHouse({ workers: 1, partitions: 1, env });
    await createAttempts(house.database);
    const id = await upload('grouped', tooMany({ retries: 1, waitMs: 15_000 }));
    await eventually('its hand was full', async () => (await rowsOf(id)).running > 40, 20_000);
    const { open } = await eventually('it is let go of', async () => {
      const rows = await rowsOf(id);
      return rows.running === 1 && rows;
    });
    expect(open).toBeGreaterThan(50);
    expect((await house.ended(id, 60_000)).counts).toMatchObject({ succeeded: 450 });
    expect(await checkLedger(house.database)).toEqual([]);
    expect(await readOrder(house.database)).toMatchObject({ inversions: [], gaps: [] });
  }, 90_000);

  it('is let go of though each of its rows has one item, and was not read to its end', async () => {
    house = await startHouse({ workers: 1, partitions: 1, env });
    const inputs = Array.from({ length: 20_000 }, (_, n) => ({ key: 'a', ...(n === 0 ? { retries: 1, waitMs: 3_600_000 } : {}) })); // prettier-ignore
    await createAttempts(house.database);
    const options = { groupBy: 'key', ordered: true, chunkSize: 1 };
    const id = await house.submit({ handler: 'grouped', inputs, options });
    await eventually('its hand was full', async () => (await rowsOf(id)).running > 5000, 30_000);
    await eventually('it is let go of', async () => (await rowsOf(id)).running === 1, 30_000);
    const [read] = await house.database.db.execute(sql`select count(claimed_at)::int as rows from chunks`);
    expect(read!['rows']).toBeLessThan(12_000);
    expect(await checkLedger(house.database)).toEqual([]);
  }, 90_000);

  it('so is one whose batch is paused for all, though its items could start', async () => {
    house = await startHouse({ workers: 1, partitions: 1, env });
    const inputs = Array.from({ length: 2000 }, (_, n) => ({ key: `k${n % 50}` }));
    const options = { groupBy: 'key', ordered: true, chunkSize: 10 };
    const id = await house.submit({ handler: 'timed', inputs, params: { pauseMs: 12_000 }, options });
    await eventually('it has begun', async () => (await rowsOf(id)).running > 1);
    await eventually('it is let go of', async () => (await rowsOf(id)).running === 1);
    expect((await house.ended(id)).counts).toMatchObject({ succeeded: 2000 });
    expect(await checkLedger(house.database)).toEqual([]);
  }, 60_000);

  it('keeps no other line from its part of what may be in hand', async () => {
    house = await startHouse({ workers: 1, partitions: 1, env });
    await createAttempts(house.database);
    const long = await upload('grouped', tooMany({ ms: 60_000 }));
    await eventually('its hand is full', async () => (await rowsOf(long)).running > 40, 20_000);
    const inputs = Array.from({ length: 200 }, (_, n) => ({ key: `k${n}`, ...(n === 0 ? { retries: 1, waitMs: 60_000 } : {}) })); // prettier-ignore
    const options = { groupBy: 'key', ordered: true, chunkSize: 10 };
    const id = await house.submit({ handler: 'grouped', inputs, options });
    await eventually('all others are over', async () => (await house.batch(id)).counts.succeeded === 199, 20_000);
    expect((await rowsOf(long)).running).toBeGreaterThan(40);
  }, 60_000);
});
