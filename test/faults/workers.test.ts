import { setTimeout as sleep } from 'node:timers/promises';
import { type AppProcess, eventually, type House, openTrial, startHouse, type Trial } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const leaseMs = 1500;
const handlers = 'libs/handlers/src,libs/testkit/handlers';

let house: House;
let trial: Trial;
beforeAll(async () => {
  house = await startHouse({
    workers: 0,
    env: { HANDLERS: handlers, LEASE_MS: String(leaseMs), WORKER_CONCURRENCY: '20' },
  });
});
afterAll(() => house.stop());
beforeEach(() => void (trial = openTrial(house)));
afterEach(async () => {
  for (const worker of house.workers) worker.signal('SIGCONT');
  await Promise.all(house.workers.map((worker) => worker.end('SIGKILL')));
});

/** Items that ran, and are not final. */
async function inFlight(id: string): Promise<number> {
  const { counts } = (await trial.client.read(id))!;
  return (await trial.executions()).length - counts.succeeded;
}

const works = { 'without groups': {}, 'in groups': { keys: 30 } };
const places = [
  ['X1', 'after a claim', 'after-claim'],
  ['X3', 'before a flush', 'before-flush'],
  ['X4', 'after a flush, before it acknowledges', 'after-flush'],
] as const;

describe.each(Object.entries(works))('items %s', (_, groups) => {
  it.each(places)('%s worker killed %s: I1, I2, I3, I4, I5, I7', async (_x, _when, place) => {
    // First the worker: one that finds work may be dead before it has said that it is ready.
    const worker = await house.addWorker({ TEST_CRASH_AT: place });
    const id = await trial.submit({ count: 300, ms: 10, ...groups, options: { chunkSize: 20 } });
    expect(await worker.over()).toBe(null);
    const repeatsMax = await inFlight(id);
    const { succeeded } = (await trial.client.read(id))!.counts;
    if (place === 'after-claim') expect(repeatsMax).toBe(0);
    expect(succeeded > 0).toBe(place === 'after-flush');
    await house.addWorker();
    expect(await trial.outcome({ repeatsMax })).toEqual([]);
  });

  it('X2 worker killed in its handlers: I1, I2, I3, I4, I5, I7', async () => {
    const worker = await house.addWorker();
    const id = await trial.submit({ count: 600, ms: 30, ...groups, options: { chunkSize: 20 } });
    await trial.started(100);
    await worker.end('SIGKILL');
    const repeatsMax = await inFlight(id);
    expect(repeatsMax).toBeGreaterThan(0);
    await house.addWorker();
    expect(await trial.outcome({ repeatsMax })).toEqual([]);
  });

  it('X22 a worker stopped for 3 leases, and back as a zombie: I1, I2, I3, I4, I5, I6, I7, I9', async () => {
    const [zombie] = await Promise.all([house.addWorker(), house.addWorker()]);
    const id = await trial.submit({ count: 600, ms: 40, ...groups, options: { chunkSize: 20 } });
    await eventually('it is at work', async () => (await trial.executions()).some(({ pid }) => pid === zombie.pid()));
    await trial.started(60);
    zombie.signal('SIGSTOP');
    const repeatsMax = await inFlight(id);
    await sleep(3 * leaseMs);
    zombie.signal('SIGCONT');
    expect(await trial.outcome({ repeatsMax })).toEqual([]);
    await eventually('it has its share again', () => owns(zombie));
    expect(await leftOf(zombie)).toEqual([
      expect.objectContaining({ rows: 1, connections: expect.toSatisfy((n) => n > 0) }),
    ]);
    expect(await zombie.end('SIGTERM')).toBe(0);
    expect(await leftOf(zombie)).toEqual([{ rows: 0, partitions: 0, chunks: 0, connections: 0 }]);
    expect(fencedBy(zombie)).toBeGreaterThan(0);
  });
});

/** What there is of a worker that has drained. */
const leftOf = async (worker: AppProcess): Promise<unknown[]> => [
  ...(await house.database.db.execute(sql`select
    (select count(*) from workers where id = ${worker.facts()['id']})::int as rows,
    (select count(*) from partitions where owner = ${worker.facts()['id']})::int as partitions,
    (select count(*) from chunks where worker = ${worker.facts()['id']} and state = 'running')::int as chunks,
    (select count(*) from pg_stat_activity where datname = current_database()
      and application_name like ${`bullpen worker%-${worker.pid()}-%`})::int as connections`)),
];

/** Chunks or rows that it would have written after others had them, as it says when it has drained. */
const fencedBy = (worker: AppProcess): number =>
  Number(/"fenced":(\d+),"msg":"worker has drained"/.exec(worker.log())?.[1] ?? -1);

async function owns(worker: AppProcess): Promise<boolean> {
  const { body } = await house.request<{ items: { pid: number; partitions: number[] }[] }>('/v1/workers');
  return body.items.some(({ pid, partitions }) => pid === worker.pid() && partitions.length > 0);
}

describe('a worker', () => {
  it('X21 whose event loop stands still for 3 leases: I1, I2, I4, I5, I7', async () => {
    const workers = await Promise.all([house.addWorker(), house.addWorker()]);
    // Outside of any call of a handler, in whose place the watchdog would renew.
    const id = await trial.submit({ count: 600, ms: 40, stallMs: 3 * leaseMs, options: { chunkSize: 20 } });
    const pid = await trial.stalled();
    const repeatsMax = await inFlight(id);
    expect(await workers.find((worker) => worker.pid() === pid)!.over()).toBe(null);
    expect(await trial.outcome({ repeatsMax })).toEqual([]);
  });

  it('X22 that is back while another runs its chunk is fenced: I1, I2, I4, I5, I6, I7', async () => {
    // Both are new: claims that were counted would have the same number here.
    const workers = await Promise.all([house.addWorker(), house.addWorker()]);
    await trial.submit({ count: 20, ms: 3500, options: { chunkSize: 20 } });
    await trial.started(20);
    const [first] = await trial.executions();
    const zombie = workers.find((worker) => worker.pid() === first!.pid)!;
    zombie.signal('SIGSTOP');
    await trial.started(40);
    // It has a second left of its items, the other one more than three.
    zombie.signal('SIGCONT');
    expect(await trial.outcome({ repeatsMax: 20 })).toEqual([]);
    await eventually('it has its share again', () => owns(zombie));
    expect(await zombie.end('SIGTERM')).toBe(0);
    expect(fencedBy(zombie)).toBeGreaterThan(0);
  });

  it('X33 in which something rejects that nobody listens to ends, and another goes on: I1, I2, I5', async () => {
    const worker = await house.addWorker();
    const body = {
      handler: 'misbehave',
      count: 20,
      params: { does: { rejectLater: [5] } },
      options: { chunkSize: 10 },
    };
    const id = await house.submit(body);
    expect(await Promise.race([worker.over(), sleep(10_000, 'it lives')])).toBe(1);
    await house.addWorker();
    const { counts } = await house.ended(id);
    expect(counts.succeeded + counts.failed).toBe(20);
    expect(await trial.outcome()).toEqual([]);
  });

  it('X37 told twice to stop, with work that never ends, stops at once: I2, I5', async () => {
    const worker = await house.addWorker();
    const id = await trial.submit({ count: 30, ms: 3_600_000, options: { chunkSize: 10 } });
    await trial.started(20);
    worker.signal('SIGTERM');
    await eventually('it drains', () => worker.log().includes('"msg":"draining"'));
    // Two within 250 ms are one: a key press that came twice.
    await sleep(300);
    worker.signal('SIGTERM');
    expect(await worker.over()).toBe(130);
    await eventually(
      'its chunks wait again',
      async () => (await trial.client.read(id))?.counts.running === 0,
      3 * leaseMs,
    );
    expect(await trial.client.control(id, 'cancel')).toBe(true);
    expect(await trial.outcome()).toEqual([]);
  });

  it('X39 of a version without the handler leaves its chunks to one that has it: I1, I2, I4, I5, I7', async () => {
    const old = await house.addWorker({ HANDLERS: 'libs/handlers/src' });
    const id = await trial.submit({ count: 200 });
    await house.ended(await house.submit({ handler: 'echo', count: 50 }));
    expect((await trial.client.read(id))!.counts.pending).toBe(200);
    const next = await house.addWorker();
    await trial.client.settle();
    // A line is its owner's alone: those in partitions of the old version wait until it goes, as it does in a rolling update.
    await trial.submit({ count: 200, keys: 10 });
    expect(await old.end('SIGTERM')).toBe(0);
    await trial.client.settle();
    expect(new Set((await trial.executions()).map(({ pid }) => pid))).toEqual(new Set([next.pid()]));
    expect(await trial.outcome()).toEqual([]);
  });
});
