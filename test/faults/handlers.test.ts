import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkLedger, eventually, type House, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';

let house: House;
afterEach(() => house.stop());

const env = { HANDLERS: 'libs/handlers/src,libs/testkit/handlers', LEASE_MS: '800', LOG_LEVEL: 'warn' };
const withinMs = 100_000;
/** Processes die and start again: on a busy machine that takes what it takes. */
const patience = 120_000;

interface Result {
  index: number;
  status: string;
  attempts: number;
  output: unknown;
  error: { code: string; message: string; fingerprint: string } | null;
}

/** Which items do what, of `count`; all others should succeed. */
interface Trial {
  count?: number;
  params: { does?: Record<string, number[]> } & Record<string, unknown>;
  options?: Record<string, unknown>;
  handler?: string;
  /** Items have inputs, of three groups in turn, which run in order. */
  inOrder?: boolean;
}

/** Submits, waits for the end, and answers the results of the items that were to misbehave, after a look at all others. */
async function run({ count = 40, params, options, handler = 'misbehave', inOrder }: Trial): Promise<Result[]> {
  const inputs = Array.from({ length: count }, (_, index) => ({ key: `k${index % 3}` }));
  const items = inOrder ? { inputs } : { count };
  const groups = inOrder ? { groupBy: 'key', ordered: true } : {};
  const all = { backoffMs: 0, chunkSize: 20, ...groups, ...options };
  const id = await house.submit({ handler, ...items, params, options: all });
  const { counts } = await house.ended(id, withinMs);
  const special = new Set([params.does ?? {}, params].flatMap((part) => Object.values(part)).flat());
  const { body } = await house.request<{ items: Result[] }>(`/v1/batches/${id}/results?limit=1000`);
  const others = body.items.filter(({ index }) => !special.has(index));
  expect(others.map(({ status, output }) => [status, output])).toEqual(
    Array.from({ length: count }, (_, index) => index)
      .filter((index) => !special.has(index))
      .map((index) => ['succeeded', { index }]),
  );
  const failed = body.items.filter(({ status }) => status === 'failed').length;
  expect(counts).toMatchObject({ total: count, failed, succeeded: count - failed, pending: 0, running: 0 });
  return body.items.filter(({ index }) => special.has(index));
}

/** Where items that misbehave write a line when they start. */
async function journalFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bullpen-journal-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, 'journal');
}

const brief = ({ index, attempts, output, error }: Result): unknown[] =>
  error === null ? [index, output] : [index, attempts, error.code];

describe('a handler that misbehaves fails alone', () => {
  it(
    'X26 by what it throws, X27 answers, X28 never answers, X33 or rejects twice, in a process that lives on: I1, I2, I5',
    async () => {
      house = await startHouse({ workers: 2, env });
      const pids = house.workers.map((worker) => worker.pid());
      const options = { maxAttempts: 2 };
      const twoTogether = { never: [7] };
      const [thrown, outputs, promises, never, together, unstarted] = await Promise.all([
      run({ params: { does: { throwUndefined: [1], throwNull: [2], throwText: [3], throwUnreadable: [25] } }, options }),
      run({ params: { does: { nan: [0], bigint: [1], cycle: [2], toJson: [3], deep: [4], huge: [5], nul: [6], surrogate: [7], nothing: [8] } } }),
      run({ params: { does: { thenThrows: [1], thenUnreadable: [2], thenTwice: [3], rejectTwice: [4], thenReplaced: [5] } }, options }),
      run({ params: { does: { never: [0, 19, 39] } }, options: { ...options, timeoutMs: 300 } }),
      run({ handler: 'misbehave-together', params: twoTogether, options: { ...options, timeoutMs: 300 } }),
      run({ count: 2, params: { start: 'never', all: [0, 1] }, options: { ...options, timeoutMs: 300 } }),
    ]); // prettier-ignore
      expect(thrown.map(({ attempts, error }) => [attempts, error!.code, error!.message])).toEqual([
        [2, 'error', 'undefined'],
        [2, 'error', 'null'],
        [2, 'error', 'just text'],
        [2, 'error', 'an error that cannot be read'],
      ]);
      expect(outputs.map(brief)).toEqual([
        ...[0, 1, 2, 3, 4].map((index) => [index, 1, 'output-not-json']),
        [5, 1, 'output-too-large'],
        [6, 'a\u0000b'],
        [7, 'half \ud83d'],
      ]);
      expect(promises.map(brief)).toEqual([[1, 2, 'error'], [2, 2, 'error'], [3, 'first'], [4, 2, 'error'], [5, 2, 'error']]); // prettier-ignore
      expect(never.map(brief)).toEqual([0, 19, 39].map((index) => [index, 2, 'timeout']));
      expect(new Set(never.map(({ error }) => error!.fingerprint)).size).toBe(1);
      expect(together.map(brief)).toEqual([[7, 2, 'timeout']]);
      expect(unstarted.map(brief)).toEqual([0, 1].map((index) => [index, 2, 'timeout']));
      expect(house.workers.map((worker) => worker.pid())).toEqual(pids);
      expect(await checkLedger(house.database)).toEqual([]);
    },
    patience,
  );

  it(
    'X29, X30, X31, X32, X33 by a loop, too much memory, an exit, a kill, a late rejection, and neither neighbours nor other batches fail with it: I1, I2, I5',
    async () => {
      const small = { ...env, LEASE_MS: '2000', NODE_OPTIONS: '--max-old-space-size=120' };
      house = await startHouse({ workers: 3, supervised: true, env: small });
      const options = { maxAttempts: 2, timeoutMs: 1000 };
      const [endless, exits, together, unstarted, innocent, late] = await Promise.all([
        run({
          params: { does: { loop: [3], exitLater: [5], poison: [8] } },
          count: 20,
          options: { ...options, maxAttempts: 1 },
        }),
        run({ params: { does: { exit: [2], memory: [10] } }, count: 20, options: { maxAttempts: 2 } }),
        run({ handler: 'misbehave-together', params: { loop: [11] }, count: 20, options }),
        run({ params: { start: 'loop', all: [0, 1] }, count: 2, options: { ...options, maxAttempts: 1 } }),
        run({ params: {}, count: 400 }),
        run({ params: { does: { rejectLater: [5] } }, count: 20 }),
      ]);
      expect(endless.map(brief)).toEqual([
        [3, 1, 'timeout'],
        [5, 1, 'worker-lost'],
        [8, 1, 'worker-lost'],
      ]);
      expect(exits.map(brief)).toEqual([
        [2, 2, 'worker-lost'],
        [10, 1, 'worker-lost'],
      ]);
      expect(together.map(brief)).toEqual([[11, 2, 'timeout']]);
      expect(unstarted.map(brief)).toEqual([0, 1].map((index) => [index, 1, 'timeout']));
      expect(innocent).toEqual([]);
      // It has answered before its worker dies of it: it succeeds, or dies with it as often as a poison.
      expect(['answered', 'worker-lost']).toContain(late[0]!.error?.code ?? late[0]!.output);
      expect(await checkLedger(house.database)).toEqual([]);
    },
    patience,
  );

  it(
    'X26 to X32 in a line, of which all other items run in their order: I1, I2, I5',
    async () => {
      house = await startHouse({ workers: 2, env, supervised: true });
      const does = { throwText: [1], nul: [2], bigint: [3], never: [4], poison: [11], loop: [16], exit: [24] };
      const options = { maxAttempts: 2, timeoutMs: 1000 };
      const [kept, together] = await Promise.all([
        run({ params: { does }, options, inOrder: true }),
        run({ handler: 'misbehave-together', params: { loop: [7] }, options, count: 20, inOrder: true }),
      ]);
      expect(kept.map(brief)).toEqual([
        [1, 2, 'error'],
        [2, 'a\u0000b'],
        [3, 1, 'output-not-json'],
        [4, 2, 'timeout'],
        [11, expect.any(Number), 'worker-lost'],
        [16, expect.any(Number), 'timeout'],
        [24, expect.any(Number), 'worker-lost'],
      ]);
      expect(together.map(brief)).toEqual([[7, expect.any(Number), 'timeout']]);
      expect(await checkLedger(house.database)).toEqual([]);
    },
    patience,
  );

  it(
    'X28 to X33 in threads by losing one each time, in a process that lives on: I1, I2, I5',
    async () => {
      // A worker that a busy machine starves for a lease has crashed, to others.
      house = await startHouse({ workers: 2, env: { ...env, LEASE_MS: '5000' } });
      const pids = house.workers.map((worker) => worker.pid());
      const handler = 'misbehave-in-threads';
      const options = { maxAttempts: 2, timeoutMs: 1000 };
      const [endless, exits, together, unstarted, innocent, late] = await Promise.all([
        run({ handler, params: { does: { loop: [3], exit: [5], exitLater: [8], never: [9] } }, count: 20, options: { ...options, maxAttempts: 1 } }),
        run({ handler, params: { does: { memory: [2], exit: [4] } }, count: 20, options: { maxAttempts: 2 } }),
        run({ handler: 'misbehave-together-in-threads', params: { loop: [11] }, count: 20, options }),
        run({ handler, params: { start: 'loop', all: [0, 1] }, count: 2, options: { ...options, maxAttempts: 1 } }),
        run({ handler, params: {}, count: 200 }),
        run({ handler, params: { does: { rejectLater: [5] } }, count: 20 }),
      ]); // prettier-ignore
      expect(endless.map(brief)).toEqual([
        [3, 1, 'timeout'],
        [5, 1, 'worker-lost'],
        [8, 1, 'worker-lost'],
        [9, 1, 'timeout'],
      ]);
      expect(exits.map(brief)).toEqual([
        [2, 2, 'worker-lost'],
        [4, 2, 'worker-lost'],
      ]);
      expect(together.map(brief)).toEqual([[11, 2, 'timeout']]);
      expect(unstarted.map(brief)).toEqual([0, 1].map((index) => [index, 1, 'timeout']));
      expect(innocent).toEqual([]);
      expect(late.map(brief)).toEqual([[5, 'answered']]);
      expect(house.workers.map((worker) => worker.pid())).toEqual(pids);
      expect(await crashes()).toEqual([0]);
      expect(await checkLedger(house.database)).toEqual([]);
    },
    patience,
  );

  it(
    'X32 in threads too where it kills: its suspects run in processes of their own: I1, I2',
    async () => {
      house = await startHouse({ workers: 1, env: { ...env, LEASE_MS: '5000' } });
      const pid = house.workers[0]!.pid();
      await house.database.db.execute(sql`alter table chunks alter column crashes set default 2`);
      const killed = await run({ handler: 'misbehave-in-threads', params: { does: { poison: [1] } }, count: 3 });
      expect(killed.map(brief)).toEqual([[1, 1, 'worker-lost']]);
      expect(house.workers[0]!.pid()).toBe(pid);
      expect(await checkLedger(house.database)).toEqual([]);
    },
    patience,
  );

  it(
    'X21 and one that is only slow is run once, though it keeps its process busy for two leases: I7',
    async () => {
      const journal = await journalFile();
      house = await startHouse({ workers: 2, env: { ...env, LEASE_MS: '3000', LOG_LEVEL: 'debug' } });
      await eventually('both are watched', () =>
        house.workers.every((worker) => worker.log().includes('the watchdog can act')),
      );
      const [busy] = await run({ params: { does: { busy: [3] }, journal } });
      expect(busy).toMatchObject({ attempts: 1, output: 'busy' });
      expect(await readFile(journal, 'utf8')).toBe('busy 3 1\n');
      expect(await crashes()).toEqual([0]);
    },
    patience,
  );

  it.runIf(process.env['FAULTS_FULL'] !== undefined)(
    'X32 also beside an item that never ends: a suspect waits for nobody, kills nobody, and nobody waits for it: I1, I2, I5',
    async () => {
      house = await startHouse({ workers: 0, env: { ...env, LEASE_MS: '2000' } });
      const never = await house.submit({ handler: 'misbehave', count: 1, params: { does: { never: [0] } } });
      const poisoned = { does: { poison: [8], never: [9] } };
      const options = { chunkSize: 20, backoffMs: 0, maxAttempts: 1, timeoutMs: 5000 };
      await house.database.db.execute(sql`alter table chunks alter column crashes set default 2`);
      const suspect = await house.submit({ handler: 'misbehave', count: 20, params: poisoned, options });
      const worker = await house.addWorker();
      const pid = worker.pid();
      await eventually('both run', async () => {
        const batches = await Promise.all([never, suspect].map((id) => house.batch(id)));
        return batches.every(({ counts }) => counts.running > 0);
      });
      await house.database.db.execute(sql`alter table chunks alter column crashes set default 0`);
      expect(await run({ params: {}, count: 400 })).toEqual([]);
      await house.database.db.execute(sql`alter table chunks alter column crashes set default 2`);
      expect((await house.ended(suspect, withinMs)).counts).toMatchObject({ succeeded: 18, failed: 2 });
      expect((await house.batch(never)).counts).toMatchObject({ running: 1 });
      expect(worker.pid()).toBe(pid);
      await eventually('the process for suspects ends when there are none', async () => (await isolated()) === 0);
      const next = await house.submit({ handler: 'misbehave', count: 1, params: {} });
      expect((await house.ended(next)).counts).toMatchObject({ succeeded: 1 });

      const frozen = await house.submit({ handler: 'misbehave', count: 1, params: { does: { busy: [0] } } });
      await eventually('it runs', async () => (await house.batch(frozen)).counts.running === 1);
      for (const { pid } of await isolatedPids()) process.kill(pid, 'SIGSTOP');
      expect((await house.ended(frozen)).counts).toMatchObject({ succeeded: 1 });
      const { body } = await house.request<{ items: { name: string; itemsDone: number }[] }>('/v1/workers');
      expect(body.items.map(({ name }) => name)).toEqual([expect.not.stringContaining('isolated')]);
      expect(await checkLedger(house.database)).toEqual([]);
      await worker.end('SIGKILL');
      await eventually('the processes for suspects end with it', async () => (await isolated()) === 0);
    },
    patience,
  );

  it('X37 and one that outlasts a drain goes back at once, and nothing is held against it: I2', async () => {
    house = await startHouse({ workers: 1, env: { ...env, LEASE_MS: '600000', DRAIN_TIMEOUT_MS: '300' } });
    const journal = await journalFile();
    const id = await house.submit({ handler: 'misbehave', count: 3, params: { does: { never: [0, 1, 2] }, journal } });
    // From claim to item they may still be given back.
    await eventually(
      'all of it has started',
      async () => (await readFile(journal, 'utf8').catch(() => '')).split('\n').length > 3,
    );
    expect(await house.workers[0]!.end('SIGTERM')).toBe(1);
    expect((await house.batch(id)).counts).toMatchObject({ running: 0, pending: 3 });
    expect(await crashes()).toEqual([0]);
  });
});

/** Processes that run suspects, as their rows say. */
const isolatedPids = async (): Promise<{ pid: number }[]> =>
  (await house.database.db.execute(sql`select pid from workers where name like '%-isolated'`)) as unknown as {
    pid: number;
  }[];

/** Connections of processes that run suspects. */
const isolated = async (): Promise<number> =>
  (
    await house.database.db.execute(
      sql`select 1 from pg_stat_activity where datname = current_database() and application_name like '%-isolated%'`,
    )
  ).length;

const crashes = async (): Promise<number[]> =>
  (await house.database.db.execute(sql`select distinct crashes from chunks`)).map((row) => Number(row['crashes']));
