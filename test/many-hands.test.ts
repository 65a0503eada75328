import {
  type AppProcess,
  checkLedger,
  eventually,
  type House,
  leaseHistory,
  type Move,
  openTrial,
  recordLeases,
  startHouse,
  type Trial,
} from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

const leaseMs = 2000;
/** `MANY_HANDS=200000 npm test -- test/many-hands` is the same with more. */
const items = Number(process.env['MANY_HANDS'] ?? 12_000);

let house: House;
afterEach(() => house.stop());

interface WorkerAnswer {
  id: string;
  pid: number;
  partitions: number[];
  itemsDone: number;
  helping: string | null;
  idle: string | null;
}
const listWorkers = async (): Promise<WorkerAnswer[]> =>
  (await house.request<{ items: WorkerAnswer[] }>('/v1/workers')).body.items;
const workerOf = async (app: AppProcess): Promise<WorkerAnswer | undefined> =>
  (await listWorkers()).find(({ pid }) => pid === app.pid());
const partitionsOf = async (app: AppProcess): Promise<string | undefined> => (await workerOf(app))?.partitions.join();

const shared = (sizes: string): Promise<unknown> =>
  eventually(
    `shares are ${sizes}`,
    async () => {
      const found = (await listWorkers()).map(({ partitions }) => partitions.length);
      return found.sort((a, b) => b - a).join() === sizes;
    },
    40_000,
  ).catch(async (error: Error) => {
    const logs = house.workers.map((app) => app.log().split('\n').slice(-5).join('\n  '));
    throw new Error([error.message, JSON.stringify(await listWorkers()), ...logs].join('\n'), { cause: error });
  });

function tell(moves: readonly Move[]): void {
  for (const how of ['drain', 'expiry'] as const) {
    const times = moves.filter((move) => move.how === how).map(({ idleMs }) => Math.round(idleMs));
    console.log(
      `${times.length} moves by ${how}, nobody at it for at most ${Math.max(0, ...times)} ms (lease ${leaseMs})`,
    );
  }
}

/** What happens to a worker tells something when it has items in its hands. */
const atWork = (trial: Trial, app: AppProcess): Promise<unknown> =>
  eventually('it has items in its hands', async () => {
    const [call] = trial.client.calls;
    expect((await house.batch(call!.id!)).state).toBe('running');
    return (await trial.executions()).some(({ pid, end }) => pid === app.pid() && end === null);
  });

describe('many hands', () => {
  it(
    'X38 1 → 6 → 2 workers in one batch, with kills and freezes: one owner at a time, every item once: I1, I2, I7',
    async () => {
      const env = {
        HANDLERS: 'libs/handlers/src,libs/testkit/handlers',
        WORKER_CONCURRENCY: '20',
        LEASE_MS: String(leaseMs),
      };
      house = await startHouse({ workers: 1, env });
      await recordLeases(house.database);
      const trial = openTrial(house);
      const lostAt = new Map<number, number>();
      const id = await trial.submit({ count: items, ms: 60, options: { chunkSize: 100 } });
      await trial.started(200);
      await Promise.all(Array.from({ length: 5 }, () => house.addWorker()));
      await shared('2,2,2,2,2,2');
      const [first, frozen, killed, left, leftToo, last] = house.workers as [AppProcess, ...AppProcess[]];
      for (const [worker, signal] of [
        [killed!, 'SIGKILL'],
        [frozen!, 'SIGSTOP'],
      ] as const) {
        await atWork(trial, worker);
        worker.signal(signal);
        lostAt.set(worker.pid(), Date.now());
      }
      await shared('3,3,3,3');
      for (const worker of [left!, leftToo!]) await atWork(trial, worker);
      expect(await Promise.all([left!, leftToo!].map((worker) => worker.end('SIGTERM')))).toEqual([0, 0]);
      await shared('6,6');
      expect((await house.batch(id)).state).toBe('running');
      frozen!.signal('SIGCONT');
      await shared('4,4,4');
      await atWork(trial, last!);
      await last!.end('SIGKILL');
      lostAt.set(last!.pid(), Date.now());
      await shared('6,6');
      for (const worker of [first, frozen!]) await atWork(trial, worker);
      const { counts } = await house.ended(id, 60_000 + 2 * items);
      expect(counts).toMatchObject({ succeeded: items, failed: 0 });
      // Whatever ran once more had begun in a worker that was lost, before that was so.
      const runs = (await trial.executions()).sort((a, b) => a.index - b.index || a.start - b.start);
      const again = runs.filter((run, at) => runs[at + 1]?.index === run.index);
      expect(again.length).toBeGreaterThan(0);
      expect(again.filter(({ pid, startedAt }) => startedAt > (lostAt.get(pid) ?? 0))).toEqual([]);
      expect(await trial.outcome({ repeatsMax: again.length })).toEqual([]);
      const { faults, moves } = await leaseHistory(house.database, leaseMs);
      expect(faults).toEqual([]);
      expect(new Set(moves.map(({ how }) => how))).toEqual(new Set(['drain', 'expiry']));
      tell(moves);
      expect(await first.end('SIGTERM')).toBe(0);
    },
    120_000 + 2 * items,
  );

  it('partitions move although the chunks in them would take minutes', async () => {
    house = await startHouse({ workers: 1, env: { WORKER_CONCURRENCY: '4', CHUNK_SLICE_MS: '3600000' } });
    const body = { handler: 'sleep', count: 40_000, params: { ms: 50 }, options: { chunkSize: 2000 } };
    const id = await house.submit(body);
    await eventually('its hands are full', async () => (await house.batch(id)).counts.running >= 8 * 2000);
    await house.addWorker();
    await shared('6,6');
    expect((await house.batch(id)).counts.succeeded).toBeLessThan(40_000);
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('a worker more than partitions helps, with its window and until it has a partition of its own', async () => {
    house = await startHouse({ workers: 2, partitions: 2, env: { WORKER_CONCURRENCY: '10' } });
    await shared('1,1');
    const helper = await house.addWorker();
    const { helping } = await eventually('it helps', async () => {
      const found = await workerOf(helper);
      return found?.helping ? found : null;
    });
    const id = await house.submit({ handler: 'sleep', count: 4000, params: { ms: 10 }, options: { chunkSize: 20 } });
    await house.ended(id);
    const done = await eventually('all say what they did', async () => {
      const each = (await listWorkers()).map(({ itemsDone }) => itemsDone);
      return each.reduce((a, b) => a + b, 0) === 4000 ? each : null;
    });
    console.log(`2 owners and a helper did ${done.join(', ')} items`);
    for (const n of done) expect(n).toBeGreaterThan(800);
    const helped = house.workers.find((app) => app.facts()['id'] === helping)!;
    await helped.end('SIGKILL');
    await eventually('it owns', async () => {
      const found = await workerOf(helper);
      return found?.partitions.length === 1 && found.helping === null;
    });
    await house.ended(await house.submit({ handler: 'echo', count: 1000 }));
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('a helper with full hands keeps no line of groups from its owner', async () => {
    house = await startHouse({ workers: 0, partitions: 1 });
    await house.addWorker({ WORKER_CHUNKS: '100' });
    const helper = await house.addWorker({ WORKER_CHUNKS: '1' });
    await eventually('it helps', async () => (await workerOf(helper))?.helping);
    const held = async (): Promise<{ all: number; helpers: number }> => {
      const rows = await house.database.db.execute(
        sql`select count(*)::int as all, count(*) filter (where worker = ${helper.facts()['id']})::int as helpers from chunks where state = 'running'`,
      );
      return rows[0] as unknown as { all: number; helpers: number };
    };
    // Two, of as many batches, are all that it may hold.
    for (let n = 1; (await held()).helpers < 2; n += 1) {
      await house.submit({ handler: 'sleep', count: 1, params: { ms: 3_600_000 } });
      await eventually('it is in a hand', async () => (await held()).all === n);
    }
    const body = { handler: 'echo', inputs: [{ key: 'k' }], options: { groupBy: 'key', ordered: true } };
    const ids = await Promise.all(Array.from({ length: 20 }, () => house.submit(body)));
    for (const id of ids) await house.ended(id);
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('a worker that can help nobody says why', async () => {
    house = await startHouse({ workers: 0, partitions: 1 });
    await house.addWorker({ HANDLERS: 'libs/handlers/src,libs/testkit/handlers' });
    const other = await house.addWorker();
    await eventually('it is idle', async () => /does not know: .*witness/.test((await workerOf(other))?.idle ?? ''));
    expect(other.log()).toMatch(/"msg":"idle"/);
  });
});

describe('pins', () => {
  const env = { LEASE_MS: String(leaseMs), WORKER_CONCURRENCY: '10' };

  it('of an index that is not there end the worker with 78', async () => {
    house = await startHouse({ workers: 0, partitions: 2 });
    await expect(house.addWorker({ WORKER_INDEX: '2', WORKER_COUNT: '3' })).rejects.toThrow(
      /ended with 78 .*WORKER_INDEX 2 of 3 would have no partition/s,
    );
    await expect(house.addWorker({ WORKER_INDEX: '3', WORKER_COUNT: '3' })).rejects.toThrow(
      /ended with 78 .*from 0 to 2/s,
    );
  });

  it('of a frozen worker with 4 of 5 partitions keep nobody from the work, move after three leases, and move back', async () => {
    house = await startHouse({ workers: 0, partitions: 5, env });
    await recordLeases(house.database);
    const pinned = await house.addWorker({ WORKER_PARTITIONS: '0-3' });
    const other = await house.addWorker();
    await eventually(
      'both have theirs',
      async () => (await partitionsOf(pinned)) === '0,1,2,3' && (await partitionsOf(other)) === '4',
    );
    const id = await house.submit({ handler: 'sleep', count: 4000, params: { ms: 10 }, options: { chunkSize: 20 } });
    await eventually('it runs', async () => (await house.batch(id)).counts.succeeded > 500);
    pinned.signal('SIGSTOP');
    await house.ended(id);
    await eventually('the other has all', async () => (await partitionsOf(other)) === '0,1,2,3,4');
    pinned.signal('SIGCONT');
    await eventually(
      'both have theirs',
      async () => (await partitionsOf(pinned)) === '0,1,2,3' && (await partitionsOf(other)) === '4',
    );
    expect(await checkLedger(house.database)).toEqual([]);
    const { faults, moves } = await leaseHistory(house.database, leaseMs);
    expect(faults).toEqual([]);
    const kept = moves.filter(({ no, how }) => how === 'expiry' && no < 4);
    expect(kept.every(({ idleMs }) => idleMs > 2.5 * leaseMs)).toBe(true);
    tell(moves);
  });

  it('are the first worker’s; a second with the same says so, runs unpinned, and has them after a kill', async () => {
    const index = { WORKER_INDEX: '0', WORKER_COUNT: '2' };
    house = await startHouse({ workers: 0, partitions: 4, env });
    const first = await house.addWorker({ ...index, WORKER_ID: 'first' });
    const second = await house.addWorker({ ...index, WORKER_ID: 'second' });
    await eventually(
      'the second has the rest',
      async () => (await partitionsOf(second)) === '1,3' && (await partitionsOf(first)) === '0,2',
    );
    await eventually('it says so', () => /"other":"first".*runs unpinned/.test(second.log()));
    const { body } = await house.request<{ items: { name: string; pinsHeldBy: string | null }[] }>('/v1/workers');
    expect(body.items.map(({ name, pinsHeldBy }) => [name, pinsHeldBy])).toEqual([
      ['first', null],
      ['second', 'first'],
    ]);
    await first.end('SIGKILL');
    await eventually('the second has all', async () => (await partitionsOf(second)) === '0,1,2,3');
    await eventually('it says that too', () => /its pins count now/.test(second.log()));
  });
});
