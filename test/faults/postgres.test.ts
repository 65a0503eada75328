import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, type House, openTrial, startHouse, type Trial, type Window } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import postgres from 'postgres';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { openSmallDisk } from '../support/small-disk.ts';

const leaseMs = 1500;
const isFull = process.env['FAULTS_FULL'] !== undefined;

let house: House;
let trial: Trial;
beforeAll(async () => {
  const env = {
    HANDLERS: 'libs/handlers/src,libs/testkit/handlers',
    LEASE_MS: String(leaseMs),
    WORKER_CONCURRENCY: '20',
  };
  house = await startHouse({ workers: 2, supervised: true, ownServers: true, env });
});
afterAll(() => house.stop());
beforeEach(() => void (trial = openTrial(house)));

/** Some seconds of work for two workers, of which a part is under way. */
async function begin(): Promise<string> {
  const id = await trial.submit({ count: 2000, ms: 40, options: { chunkSize: 20 } });
  await trial.submit({ count: 1000, ms: 20, keys: 50, options: { chunkSize: 20 } });
  await trial.started(200);
  return id;
}

/** A session of its own, beside all processes. */
function openSession() {
  const session = postgres(house.database.url, {
    max: 1,
    onnotice: () => undefined,
    connection: { search_path: 'bullpen' },
  });
  onTestFinished(() => session.end({ timeout: 1 }));
  return session;
}

const isBack = (): Promise<unknown> =>
  eventually(
    'it is ready within 2 s',
    async () => (await house.request('/readyz').catch(() => null))?.status === 200,
    2000,
  );

/** What ran meanwhile, and until all leases are renewed or gone, may have been for nothing. */
async function timeOf(fault: () => Promise<unknown>): Promise<Window> {
  const from = Date.now();
  await fault();
  return { from, to: Date.now() + 2 * leaseMs };
}

async function killed(): Promise<void> {
  await house.servers.back('postgres', await house.servers.end('postgres', 'SIGKILL'));
  await isBack();
}

describe('PostgreSQL', () => {
  it.each([
    ['X14', 'stopped fast, and started', 'SIGINT'],
    ['X14', 'stopped immediately, and started', 'SIGQUIT'],
  ] as const)('%s %s: I1, I2, I3, I4, I5, I7, I12', async (_x, _how, signal) => {
    const done = await trial.submit({ count: 5000, options: { chunkSize: 500 } });
    await trial.client.settle();
    expect((await trial.client.read(done))!.state).toBe('completed');
    await begin();
    const during = await timeOf(async () => {
      await house.servers.back('postgres', await house.servers.end('postgres', signal));
      await isBack();
    });
    expect(await trial.outcome({ during: [during] })).toEqual([]);
  });

  it('X15 killed right after an accept, a claim and a flush: I1, I2, I3, I4, I5, I7, I12', async () => {
    const during: Window[] = [];
    const kill = async (): Promise<unknown> => during.push(await timeOf(killed));
    const id = await trial.submit({ count: 2000, ms: 40, options: { chunkSize: 20 } });
    await trial.submit({ count: 1000, ms: 20, keys: 50, options: { chunkSize: 20 } });
    await kill();
    await eventually('something is claimed', async () => (await trial.client.read(id))!.counts.running > 0);
    await kill();
    const { succeeded } = (await trial.client.read(id))!.counts;
    await eventually('something is flushed', async () => (await trial.client.read(id))!.counts.succeeded > succeeded);
    await kill();
    expect(await trial.outcome({ during })).toEqual([]);
  });

  it('X15 killed right after it was told that a batch has ended: I1, I2, I4, I12', async () => {
    const during: Window[] = [];
    // Nothing else is under way, whose commits would take this one along to the disk.
    for (const [round, ending] of ['completed', 'cancelled', 'completed', 'completed'].entries()) {
      const isCancelled = ending === 'cancelled';
      const id = await trial.submit({ count: 200, keys: 5, ms: isCancelled ? 200 : 0, options: { chunkSize: 20 } });
      if (isCancelled) expect(await trial.client.control(id, 'cancel')).toBe(true);
      else await eventually('it has completed', async () => (await trial.client.read(id))!.state === 'completed');
      during.push(await timeOf(killed));
      expect([round, (await trial.client.read(id))!.state]).toEqual([round, ending]);
    }
    expect(await trial.outcome({ during })).toEqual([]);
  });

  it('X16 whose backends are ended every 10 to 50 ms: I1, I2, I3, I4, I5, I7', async () => {
    await begin();
    const session = openSession();
    let ended = 0;
    for (const until = performance.now() + 3000; performance.now() < until;) {
      const rows = await session`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name like 'bullpen%' and datname = current_database() order by random() limit 1`;
      ended += rows.length;
      await sleep(10 + Math.random() * 40);
    }
    expect(ended).toBeGreaterThan(50);
    expect(await trial.outcome()).toEqual([]);
  });

  it('X17 of which a backend freezes, with what it has locked: I1, I2, I3, I4, I5, I7', async () => {
    const id = await begin();
    const [saboteur, server] = [openSession(), openSession()];
    /** One that waits for the row of the batch: it has those of its chunks. */
    const waiting = async (): Promise<number | null> => {
      const [backend] = await server<
        { pid: number }[]
      >`select pid from pg_stat_activity where datname = current_database()
        and application_name like 'bullpen worker%' and wait_event_type = 'Lock' and backend_xid is not null limit 1`;
      return backend?.pid ?? null;
    };
    // It stands in the way of others, which takes a transaction that stays open.
    // oxlint-disable-next-line no-restricted-properties
    const freezeOne = saboteur.begin(async (held) => {
      await held`select from batches where id = ${id} for update`;
      const pid = await eventually('one waits', waiting);
      process.kill(pid, 'SIGSTOP');
      return pid;
    });
    const during = await timeOf(async () => {
      const frozen = await freezeOne;
      await sleep(3 * leaseMs);
      process.kill(frozen, 'SIGCONT');
    });
    expect(await trial.outcome({ during: [during] })).toEqual([]);
  });

  it('X17 frozen as a whole for 4 leases, with no word to anybody: I1, I2, I3, I4, I5, I7, I11', async () => {
    // A producer judges nobody before it has watched for a lease.
    await sleep(2 * leaseMs);
    await begin();
    const ofWorkers = new Set(
      (
        await openSession()<{ pid: number }[]>`select pid from pg_stat_activity
      where application_name like 'bullpen worker%' and datname = current_database()`
      ).map(({ pid }) => pid),
    );
    const from = Date.now();
    const thaw = await house.servers.freeze('postgres');
    const late = trial.submit({ count: 50 });
    const { answers } = trial.client.calls.at(-1)!;
    // The answer that comes then is that of a server that may or may not have stored it.
    const once = trial.tryOnce({ count: 50 });
    await sleep(4 * leaseMs);
    expect(await once).not.toBe(202);
    // A client does not wait for longer than 5 s, and is told nothing that has not happened.
    expect(answers.length).toBeGreaterThan(0);
    expect(answers.map(({ status }) => status)).not.toContain(202);
    // What waits for the server runs in any order: here the producer's statements first, which repair what is under workers that are gone.
    thaw((pid) => !ofWorkers.has(pid));
    await sleep(300);
    thaw();
    await late;
    // What ran until the workers knew no more whether they may.
    expect(await trial.outcome({ during: [{ from, to: Date.now() + 2 * leaseMs }] })).toEqual([]);
    // Nobody is judged by the time that the server slept through.
    expect(await trial.crashes()).toBe(0);
  });

  it('X18 that gives up statements for others: 40001, 40P01, 55P03, 57014: I1, I2, I3, I4, I5, I7', async () => {
    const [{ name }] = (await house.database.db.execute(sql`select current_database() as name`)) as unknown as [
      { name: string },
    ];
    const server = openSession();
    const set = (what: string): Promise<unknown> => server.unsafe(`alter database ${name} ${what}`);
    await set(`set lock_timeout = '60ms'`);
    await set(`set deadlock_timeout = '10ms'`);
    await set(`set default_transaction_isolation = 'repeatable read'`);
    onTestFinished(() => void set('reset all'));
    await begin();
    // From now on in sessions that begin.
    const reconnect = () =>
      server`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'bullpen%' and datname = current_database()`;
    await reconnect();
    const saboteur = openSession();
    for (const until = performance.now() + 4000; performance.now() < until;) {
      await saboteur
        // It stands in the way of others, which takes a transaction that stays open.
        // oxlint-disable-next-line no-restricted-properties
        .begin('isolation level read committed', async (held) => {
          // It waits longer than those that it stands in the way of: they give up.
          await held`set local deadlock_timeout = '2s'`;
          await held`set local lock_timeout = '1s'`;
          await held`select from batches where state = 'running' for update`;
          await sleep(Math.random() * 80);
          await held`select from chunks where state in ('running', 'queued') order by no desc limit 50 for update`;
        })
        .catch(() => undefined);
      await server`select pg_cancel_backend(pid) from pg_stat_activity
        where application_name like 'bullpen worker%' and state = 'active' and datname = current_database() order by random() limit 1`;
      await sleep(20);
    }
    await set('reset all');
    await reconnect();
    expect(await trial.outcome()).toEqual([]);
    expect(await trial.crashes()).toBe(0);
    const said = house.workers.map((worker) => worker.log()).join('\n');
    for (const code of ['40001', '40P01', '55P03', '57014']) expect(said).toContain(`"code":"${code}"`);
  });

  it.runIf(isFull)('X19 that has no connection left: I1, I2, I3, I4, I5, I7, I11', async () => {
    await begin();
    const from = Date.now();
    const sessions: postgres.Sql[] = [];
    const giveBack = (): Promise<unknown> => Promise.all(sessions.map((session) => session.end({ timeout: 1 })));
    onTestFinished(async () => void (await giveBack()));
    const take = async (): Promise<boolean> => {
      const session = postgres(house.database.url, { max: 1, onnotice: () => undefined, connect_timeout: 2 });
      sessions.push(session);
      return await session`select 1`.then(() => true, () => false); // prettier-ignore
    };
    const server = openSession();
    await server`select 1`;
    await eventually('nobody else has one', async () => {
      const ended = await server`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name like 'bullpen%' and datname = current_database()`;
      while (await take());
      return ended.length === 0;
    });
    await sleep(2 * leaseMs);
    // Of a try that met a connection at its end nobody knows.
    expect([0, 503]).toContain(await trial.tryOnce({ count: 50 }));
    await giveBack();
    await isBack();
    expect(await trial.outcome({ during: [{ from, to: Date.now() + 2 * leaseMs }] })).toEqual([]);
  });

  it('X19 whose disk is full: I1, I2, I4, I5, I7, I11', async (context) => {
    const disk = openSmallDisk(40);
    // Only root may mount one.
    if (disk === null) return context.skip();
    onTestFinished(() => disk.close());
    const server = openSession();
    await server.unsafe(`create tablespace small location '${disk.path}'`);
    for (const { table } of await server<{ table: string }[]>`
      select c.oid::regclass::text as table from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'bullpen' and c.relkind = 'r' and (c.relname ~ '^(results|inputs)' or c.relispartition)`)
      await server.unsafe(`alter table ${table} set tablespace small`);
    const id = await trial.submit({
      count: 6000,
      ms: 1,
      text: randomBytes(8000).toString('base64'),
      options: { chunkSize: 20 },
    });
    await eventually('workers wait for room', () =>
      house.workers.some((worker) => worker.log().includes('"code":"53100"')),
    );
    const { succeeded } = (await trial.client.read(id))!.counts;
    expect(succeeded).toBeLessThan(6000);
    const { status } = await house.request('/livez');
    expect(status).toBe(200);
    const large = { count: 60, keys: 60, label: randomBytes(75_000).toString('base64') };
    expect(await trial.tryOnce(large)).toBe(507);
    disk.grow(1000);
    expect(await trial.outcome({ withinMs: 60_000 })).toEqual([]);
  });
});

describe('PostgreSQL, where statements may run for a second', () => {
  it('X18 in which somebody holds the row of a batch for five: I1, I2, I4, I5, I7', async () => {
    const through = async (url: string): Promise<string> =>
      url.startsWith('postgres') ? `${url}?statement_timeout=1000` : url;
    const own = await startHouse({
      workers: 2,
      through,
      env: { HANDLERS: 'libs/handlers/src,libs/testkit/handlers', LEASE_MS: String(leaseMs) },
    });
    onTestFinished(() => own.stop());
    const held = openTrial(own);
    const id = await held.submit({ count: 400, ms: 20, options: { chunkSize: 20 } });
    await held.started(50);
    const pids = own.workers.map(({ pid }) => pid());
    const session = postgres(own.database.url, { max: 1, connection: { search_path: 'bullpen' } });
    onTestFinished(() => session.end({ timeout: 1 }));
    await session`select pg_sleep(5) from (select from batches where id = ${id} for update) held`;
    expect(await held.outcome()).toEqual([]);
    expect(await held.crashes()).toBe(0);
    expect(own.workers.map(({ pid }) => pid())).toEqual(pids);
    expect(own.workers.map((worker) => worker.log()).join('\n')).toContain('"code":"57014"');
  });
});
