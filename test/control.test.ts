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

describe('a batch with brakes', () => {
  const lines = (n: number, of: (index: number) => object): string =>
    Array.from({ length: n }, (_, index) => `${JSON.stringify(of(index))}\n`).join('');
  const upload = async (query: string, body: string): Promise<string> => {
    const headers = { 'content-type': 'application/x-ndjson' };
    const answer = await house.request<{ id: string }>(`/v1/batches?${query}`, { method: 'POST', headers, body });
    expect(answer).toMatchObject({ status: 202 });
    return answer.body.id;
  };
  const paused = (id: string, stateReason: string): Promise<BatchAnswer> =>
    eventually('it is paused', async () => {
      const batch = await house.batch(id);
      return batch.state === 'paused' && batch.counts.running === 0
        ? (expect(batch).toMatchObject({ stateReason }), batch)
        : null;
    });

  it('that begins to fail in its middle is paused after what was in flight, and goes on when it is told to', async () => {
    house = await startHouse({ workers: 3 });
    const body = lines(300_000, (index) => ({ rate: index < 50_000 ? 0 : 1 }));
    const id = await upload('handler=fail&maxAttempts=1&maxFailures=100', body);
    const { counts } = await paused(id, 'max-failures');
    expect(counts.succeeded).toBeGreaterThan(0);
    expect(counts.failed).toBeGreaterThanOrEqual(100);
    // A window of each partition at most, and not all that there was.
    expect(counts.failed).toBeLessThan(150_000);
    await sleep(500);
    expect((await house.batch(id)).counts).toEqual(counts);
    await house.request(`/v1/batches/${id}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ options: { maxFailures: null } }),
    });
    await control(id, 'resume');
    expect((await house.ended(id)).counts).toMatchObject({ succeeded: 50_000, failed: 250_000 });
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('stops at exactly its canary, with retries, and a worker that is killed', async () => {
    house = await startHouse({ workers: 3 });
    const options = { canary: 1234, backoffMs: 50 };
    const id = await house.submit({ handler: 'fail', count: 100_000, params: { rate: 0.3, untilAttempt: 2 }, options });
    await house.workers[0]!.end('SIGKILL');
    const { counts } = await paused(id, 'canary');
    expect(counts).toMatchObject({ succeeded: 1234, failed: 0, pending: 98_766 });
    const [{ last }] = (await house.database.db.execute(
      sql`select max(index)::int as last from results`,
    )) as unknown as [{ last: number }];
    expect(last).toBe(1233);
    await control(id, 'resume');
    expect((await house.ended(id)).counts).toMatchObject({ succeeded: 100_000 });
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('keeps only failures, and its summary all the same', async () => {
    house = await startHouse({ workers: 2 });
    const options = { keepResults: 'failed', maxAttempts: 1, seed: 3 };
    const id = await house.submit({ handler: 'fail', count: 2000, params: { rate: 0.25 }, options });
    const { counts } = await house.ended(id);
    const played = await house.submit({ handler: 'simulate', count: 2000, options });
    await house.ended(played);
    const keyed = await upload(
      'handler=echo&groupBy=k&ordered=true&keepResults=failed',
      lines(300, (index) => ({ k: index % 5 })),
    );
    expect((await house.ended(keyed)).counts).toMatchObject({ succeeded: 300 });
    const [{ rows }] = (await house.database.db.execute(sql`select count(*)::int as rows from results`)) as unknown as [
      { rows: number },
    ];
    expect(rows).toBe(counts.failed);
    const { body } = await house.request<{ summary: { items: number } }>(`/v1/batches/${played}`);
    expect(body.summary.items).toBe(2000);
    expect((await house.request(`/v1/batches/${played}/results/5`)).body).toMatchObject({
      status: 'succeeded',
      output: null,
    });
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('begins when its time has come', async () => {
    house = await startHouse({ workers: 1, env: { HANDLERS: 'libs/handlers/src,libs/testkit/handlers' } });
    const notBefore = Date.now() + 3000;
    const id = await house.submit({
      handler: 'timed',
      count: 20,
      options: { notBefore: new Date(notBefore).toISOString() },
    });
    expect((await house.ended(await house.submit({ handler: 'echo', count: 500 }))).counts).toMatchObject({
      succeeded: 500,
    });
    await house.ended(id);
    const { body } = await house.request<{ items: { output: { from: number } }[] }>(`/v1/batches/${id}/results`);
    expect(Math.min(...body.items.map(({ output }) => output.from))).toBeGreaterThanOrEqual(notBefore);
  });
});
