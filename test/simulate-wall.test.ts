import { eventually, type House, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const one = async <Row>(query: ReturnType<typeof sql>): Promise<Row> =>
  (await house.database.db.execute(query))[0] as unknown as Row;

/** Statements that this database has committed, told by a session when it ends. */
async function commits(): Promise<number> {
  const read = async (): Promise<number> => {
    const { n } = await one<{ n: string }>(
      sql`select xact_commit as n, pg_stat_clear_snapshot() from pg_stat_database where datname = current_database()`,
    );
    return Number(n);
  };
  let before = -1;
  // Each read is one itself.
  return eventually('all is told', async () => {
    const now = await read();
    const isStill = now - before <= 2;
    before = now;
    return isStill ? now : null;
  });
}

/** Where the first of the five systems was stuck. */
describe('runs of a simulation', () => {
  it('are read by nobody one by one, and their params once a worker', async () => {
    house = await startHouse({ workers: 3, env: { METRICS_WINDOW_MS: '1000' } });
    const before = await commits();
    await house.ended(await house.submit({ handler: 'simulate', count: 60_000, options: { chunkSize: 500 } }));
    await Promise.all(house.workers.map((worker) => worker.end('SIGTERM')));
    await house.producer.end('SIGTERM');
    // A read of each run alone would be 60 000.
    expect((await commits()) - before).toBeLessThan(3000);
    const windows = house.workers.flatMap((worker) =>
      [...worker.log().matchAll(/"paramsLoads":(\d+),"paramsHits":(\d+)/g)].map(([, loads, hits]) => [
        Number(loads),
        Number(hits),
      ]),
    );
    const [loads, hits] = [0, 1].map((at) => windows.reduce((sum, window) => sum + window[at]!, 0));
    expect(loads).toBeGreaterThan(0);
    expect(loads).toBeLessThanOrEqual(3);
    expect(loads! + hits!).toBeGreaterThanOrEqual(120);
  });

  it('are acknowledged by the worker that ran them and by no other, however many share the queues', async () => {
    house = await startHouse({
      workers: 4,
      partitions: 3,
      env: { HANDLERS: 'libs/handlers/src,libs/testkit/handlers' },
    });
    await house.database.db.execute(sql`create table witness (index int not null, pid int not null)`);
    await eventually('each partition has its owner', async () => {
      const { body } = await house.request<{ items: { owner: object | null }[] }>('/v1/partitions');
      return body.items.every(({ owner }) => owner !== null);
    });
    const id = await house.submit({ handler: 'witness', count: 3000, params: { ms: 1 }, options: { chunkSize: 20 } });
    expect((await house.ended(id)).counts).toMatchObject({ succeeded: 3000 });
    // Nobody died, so each ran once, at the worker that claimed it.
    const found = await one(sql`
      select count(*)::int as runs, count(distinct w.index)::int as items, count(*) filter (where k.pid = w.pid)::int as own
      from witness w join chunks c on w.index >= c.first and w.index < c.first + c.size join workers k on k.id = c.worker`);
    expect(found).toEqual({ runs: 3000, items: 3000, own: 3000 });
    // A job that was taken off its queue and dropped would have been found and published again.
    const again = await one(sql`select count(*)::int as chunks from chunks where generation > 1`);
    expect(again).toEqual({ chunks: 0 });
    const { workers } = await one<{ workers: number }>(sql`select count(distinct pid)::int as workers from witness`);
    expect(workers).toBeGreaterThanOrEqual(3);
  });
});
