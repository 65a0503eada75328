import { checkLedger, eventually, type House, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const env = { HANDLERS: 'libs/handlers/src,libs/testkit/handlers' };
const handler = 'misbehave-in-threads';
const busy = (count: number) => ({ does: { spin: Array.from({ length: count }, (_, index) => index) } });

/** All results of a batch as they are streamed, without the time at which they came to be. */
async function resultsOf(id: string): Promise<string[]> {
  const headers = { accept: 'application/x-ndjson' };
  const response = await fetch(`${house.url()}/v1/batches/${id}/results`, { headers });
  const lines = (await response.text()).trim().split('\n');
  return lines.map((line) => line.replace(/"finishedAt":"[^"]*"/, ''));
}
const running = (id: string): Promise<boolean> =>
  eventually('it runs', async () => (await house.batch(id)).counts.running > 0);

describe('a handler with threads', () => {
  it('has the results that it has without, whatever its items do', async () => {
    house = await startHouse({ workers: 1, env: { ...env, METRICS_WINDOW_MS: '500' } });
    const inputs = Array.from({ length: 10_000 }, (_, n) => ({ n, ...(n % 3 === 0 && { text: `é 漢 😀 ${n}` }) }));
    const batch = { params: { times: 3 }, inputs, options: { seed: 7, maxAttempts: 2, backoffMs: 0, chunkSize: 300 } };
    const [here, there] = await Promise.all(
      ['varied', 'varied-in-threads'].map(async (name) => {
        const id = await house.submit({ handler: name, ...batch });
        const { counts } = await house.ended(id);
        return { counts, results: await resultsOf(id) };
      }),
    );
    expect(there!.counts).toEqual(here!.counts);
    expect(there!.counts).toMatchObject({ total: 10_000, succeeded: expect.any(Number) });
    expect(there!.counts.failed).toBeGreaterThan(3000);
    expect(there!.results.length).toBeGreaterThan(8000);
    expect(there!.results).toEqual(here!.results);
    expect(await checkLedger(house.database)).toEqual([]);
    const said = house.workers[0]!.log();
    expect(said).toMatch(/"handler":"varied-in-threads".*"msg":"one of fifty"/);
    const windows = said.split('\n').filter((line) => line.includes('"msg":"window"'));
    const worked = windows.reduce((sum, line) => sum + (JSON.parse(line) as { handlerMs: number }).handlerMs, 0);
    expect(worked).toBeGreaterThan(10);
  });

  it('stops between two items when its batch is cancelled, and goes back when its worker drains', async () => {
    house = await startHouse({ workers: 1, env });
    const cancelled = await house.submit({ handler, count: 500, params: busy(500) });
    await running(cancelled);
    await house.database.statements.cancel((await house.database.statements.counts(cancelled))!.no);
    await eventually('nothing of it runs', async () => (await house.batch(cancelled)).counts.running === 0);
    expect((await house.batch(cancelled)).counts.succeeded).toBeLessThan(30);

    const drained = await house.submit({ handler, count: 12, params: busy(12), options: { chunkSize: 6 } });
    await running(drained);
    expect(await house.workers[0]!.end('SIGTERM')).toBe(0);
    const left = await house.batch(drained);
    expect(left.counts).toMatchObject({ running: 0, failed: 0 });
    expect(left.counts.pending).toBeGreaterThan(0);
    await house.addWorker();
    expect((await house.ended(drained)).counts).toMatchObject({ succeeded: 12 });
    expect(await house.database.db.execute(sql`select 1 from chunks where crashes > 0`)).toHaveLength(0);
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('keeps nobody else waiting: the loop of its worker turns while its items loop', async () => {
    house = await startHouse({ workers: 1, env });
    const endless = await house.submit({
      handler,
      count: 2,
      params: { does: { loop: [0, 1] } },
      options: { chunkSize: 1 },
    });
    await eventually('both loop', async () => (await house.batch(endless)).counts.running === 2);
    const quick = await house.submit({ handler: 'echo', count: 2000 });
    expect((await house.ended(quick)).counts).toMatchObject({ succeeded: 2000 });
    expect((await house.batch(endless)).counts).toMatchObject({ running: 2 });
  });
});
