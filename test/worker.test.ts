import { checkLedger, eventually, type House, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const handlers = 'libs/handlers/src,libs/testkit/handlers';
const witness = async (): Promise<void> => {
  await house.database.db.execute(
    sql`create table if not exists witness (index int not null, pid int not null, at timestamptz default clock_timestamp())`,
  );
};
const starts = async (): Promise<{ all: number; items: number }> => {
  const rows = await house.database.db.execute(
    sql`select count(*)::int as all, count(distinct index)::int as items from witness`,
  );
  return rows[0] as unknown as { all: number; items: number };
};

describe('a worker', () => {
  it('flushes a long chunk in slices, so that progress moves every 2 s and a drain is short and loses nothing', async () => {
    house = await startHouse({ workers: 1, env: { WORKER_CONCURRENCY: '4' } });
    const id = await house.submit({ handler: 'sleep', count: 1000, params: { ms: 50 }, options: { chunkSize: 1000 } });
    let done = -1;
    for (let look = 0; look < 3; look += 1) {
      const before = done;
      done = await eventually('progress within 2 s', async () => {
        const { counts } = await house.batch(id);
        return counts.succeeded > before ? counts.succeeded : null;
      }, 2000); // prettier-ignore
    }
    const started = performance.now();
    expect(await house.workers[0]!.end('SIGTERM')).toBe(0);
    expect(performance.now() - started).toBeLessThan(3000);
    const { counts } = await house.batch(id);
    expect(counts.running).toBe(0);
    expect(counts.succeeded).toBeGreaterThan(0);
    expect(await checkLedger(house.database)).toEqual([]);
    await house.addWorker({ WORKER_CONCURRENCY: '200' });
    expect((await house.ended(id)).counts).toMatchObject({ succeeded: 1000, failed: 0 });
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('waits in a drain for items that take long', async () => {
    house = await startHouse({ workers: 1, env: { HANDLERS: handlers, LEASE_MS: '2000' } });
    await witness();
    const id = await house.submit({ handler: 'witness', count: 3, params: { ms: 7000 } });
    await eventually('it runs', async () => (await starts()).all === 3);
    expect(await house.workers[0]!.end('SIGTERM')).toBe(0);
    expect((await house.batch(id)).counts).toMatchObject({ succeeded: 3 });
    expect(await starts()).toEqual({ all: 3, items: 3 });
  });

  it('leaves nothing behind after a drain: no row, no partition, no connection', async () => {
    house = await startHouse({ workers: 1 });
    await house.ended(await house.submit({ handler: 'echo', count: 5000 }));
    // A suspect, so that there is a process more.
    await house.database.db.execute(sql`alter table chunks alter column crashes set default 2`);
    await house.ended(await house.submit({ handler: 'echo', count: 1 }));
    expect(await house.workers[0]!.end('SIGTERM')).toBe(0);
    const left = (await house.database.db.execute(sql`
      select (select count(*) from workers)::int as workers, (select count(*) from partitions where owner is not null)::int as owned,
        (select count(*) from chunks where state <> 'done')::int as open,
        (select count(*) from pg_stat_activity where application_name like 'bullpen worker%' and datname = current_database())::int as connections`)) as unknown as object[];
    expect(left[0]).toEqual({ workers: 0, owned: 0, open: 0, connections: 0 });
  });

  it('stops a batch that is paused or cancelled within a second, and keeps what was done', async () => {
    house = await startHouse({ workers: 2, env: { WORKER_CONCURRENCY: '4' } });
    const id = await house.submit({ handler: 'sleep', count: 2000, params: { ms: 20 }, options: { chunkSize: 1000 } });
    const { no } = (await house.database.statements.counts(id))!;
    await eventually('it runs', async () => (await house.batch(id)).counts.running > 0);
    await house.database.statements.pause(no);
    await eventually('nothing runs', async () => (await house.batch(id)).counts.running === 0, 3000);
    const paused = await house.batch(id);
    expect(paused).toMatchObject({ state: 'paused' });
    expect(paused.counts.pending + paused.counts.succeeded).toBe(2000);
    await house.database.statements.resume(no);
    await eventually('it goes on', async () => (await house.batch(id)).counts.succeeded > paused.counts.succeeded);
    await house.database.statements.cancel(no);
    await eventually('nothing runs', async () => (await house.batch(id)).counts.running === 0, 3000);
    const { counts } = await house.batch(id);
    expect(counts.cancelled + counts.succeeded).toBe(2000);
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('tries failed items again with backoff, and fails them after the last attempt', async () => {
    house = await startHouse({ workers: 2 });
    const again = await house.submit({
      handler: 'fail',
      count: 500,
      params: { rate: 0.3, untilAttempt: 2 },
      options: { backoffMs: 100 },
    });
    const never = await house.submit({
      handler: 'fail',
      count: 500,
      params: { rate: 0.3, message: 'out of cheese' },
      options: { maxAttempts: 2, backoffMs: 100, seed: 1 },
    });
    expect((await house.ended(again)).counts).toMatchObject({ succeeded: 500, failed: 0 });
    const { counts } = await house.ended(never);
    expect(counts.failed).toBeGreaterThan(100);
    expect(counts.failed).toBeLessThan(200);
    const { body } = await house.request<{ items: object[] }>(`/v1/batches/${never}/results?status=failed&limit=1`);
    expect(body.items[0]).toMatchObject({
      status: 'failed',
      attempts: 2,
      output: null,
      error: { code: 'error', message: 'out of cheese' },
    });
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('stores an error whatever stands in its message', async () => {
    house = await startHouse({ workers: 1 });
    const params = { message: 'NUL \u0000 and half a pair \ud83d' };
    const id = await house.submit({ handler: 'fail', count: 3, params, options: { maxAttempts: 1 } });
    expect((await house.ended(id, 10_000)).counts).toMatchObject({ failed: 3 });
    const { body } = await house.request<{ items: { error: object }[] }>(`/v1/batches/${id}/results`);
    const fingerprint = expect.stringMatching(/^[0-9a-f]{12}$/);
    expect(body.items[0]!.error).toEqual({ code: 'error', message: params.message, fingerprint });
  });

  it('makes progress with outputs that are large together', async () => {
    house = await startHouse({ workers: 1 });
    const id = await house.submit({
      handler: 'echo',
      count: 300,
      params: { text: 'x'.repeat(100_000) },
      options: { chunkSize: 300 },
    });
    expect((await house.ended(id, 20_000)).counts).toMatchObject({ succeeded: 300 });
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('shares the partitions with a second one, and a batch goes to both', async () => {
    house = await startHouse({ workers: 2 });
    const shares = async (): Promise<number[]> =>
      (await house.request<{ items: { partitions: number[] }[] }>('/v1/workers')).body.items.map(
        (worker) => worker.partitions.length,
      );
    await eventually('each has its share', async () => (await shares()).join() === '6,6');
    await house.ended(await house.submit({ handler: 'sleep', count: 2000, params: { ms: 1 } }));
    const done = await eventually('both say what they did', async () => {
      const { body } = await house.request<{ items: { itemsDone: number }[] }>('/v1/workers');
      const items = body.items.map((worker) => worker.itemsDone);
      return items.reduce((a, b) => a + b, 0) === 2000 ? items : null;
    });
    for (const items of done) expect(items).toBeGreaterThan(300);
  });
});
