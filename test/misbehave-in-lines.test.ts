import { checkLedger, eventually, type House, mostWithin, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const env = { HANDLERS: 'libs/handlers/src,libs/testkit/handlers', LEASE_MS: '800', LOG_LEVEL: 'warn' };
const ordered = { groupBy: 'key', ordered: true, backoffMs: 0, chunkSize: 20 };
/** Processes die and start again: on a busy machine that takes what it takes. */
const withinMs = 100_000;
const patience = 120_000;

/** So many items of three groups in turn, whose values are a hundred times their indexes. */
const inputs = (n: number, more: (index: number) => object = () => ({})) =>
  Array.from({ length: n }, (_, index) => ({ key: `k${index % 3}`, value: 100 * index, ...more(index) }));

async function failuresOf(id: string): Promise<unknown[]> {
  await house.ended(id, withinMs);
  type Failures = { items: { index: number; attempts: number; error: { code: string } }[] };
  const { body } = await house.request<Failures>(`/v1/batches/${id}/results?status=failed&limit=1000`);
  return body.items.map(({ index, attempts, error }) => [index, attempts, error.code]);
}

const summaryOf = async (id: string): Promise<unknown> =>
  eventually('it is summed up', async () => {
    const { body } = await house.request<{ summary: { n: number } | null }>(`/v1/batches/${id}`);
    return body.summary;
  });

const isQueued = (handler: string) => async (): Promise<boolean> =>
  (
    await house.database.db.execute(
      sql`select from chunks c join batches b on b.no = c.batch where b.handler = ${handler} and c.state = 'queued'`,
    )
  ).length > 0;

describe('a line', () => {
  it('of which one item is tried again goes on where an output is refused', async () => {
    house = await startHouse({ workers: 1, env });
    const items = inputs(5, (index) => ({ key: 'k', retries: index === 0 ? 1 : 0 }));
    const params = { add: 13, at: 100 };
    const options = { groupBy: 'key', groupConcurrency: 2, chunkSize: 20 };
    const id = await house.submit({ handler: 'reducing', inputs: items, params, options });
    expect(await failuresOf(id)).toEqual([[1, 1, 'reduce-failed']]);
    expect(await summaryOf(id)).toEqual({ n: 900 });
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it.runIf(process.env['FAULTS_FULL'] !== undefined)(
    'whose `start` does not end, or ends its worker, fails like its attempts',
    async () => {
      house = await startHouse({ workers: 2, env, supervised: true });
      const failures = (start: string, maxAttempts: number): Promise<unknown> => {
        const options = { ...ordered, chunkSize: 2, maxAttempts, timeoutMs: 1000 };
        const ofOneLine = inputs(3, () => ({ key: 'k' }));
        const batch = { handler: 'misbehave', inputs: ofOneLine, params: { start }, options };
        return house.submit(batch).then(failuresOf);
      };
      const all = (code: string) => [0, 1, 2].map((index) => [index, expect.any(Number), code]);
      const [loops, exits, kills] = await Promise.all([
        failures('loop', 1),
        failures('exit', 2),
        failures('poison', 1),
      ]);
      expect(loops).toEqual(all('timeout'));
      expect(exits).toEqual(all('worker-lost'));
      expect(kills).toEqual(all('worker-lost'));
      expect(await checkLedger(house.database)).toEqual([]);
    },
    patience,
  );

  it.each([
    ['does not end', 15, 'timeout'],
    ['ends the process', 17, 'worker-lost'],
    ['kills the process', 21, 'worker-lost'],
  ])(
    'with an output at which `add` %s fails that item alone',
    async (_, add, code) => {
      house = await startHouse({ workers: 2, env, supervised: true });
      const options = { ...ordered, maxAttempts: 1, timeoutMs: code === 'timeout' ? 1000 : 30_000 };
      const id = await house.submit({ handler: 'reducing', inputs: inputs(12), params: { add, at: 400 }, options });
      expect(await failuresOf(id)).toEqual([[4, expect.any(Number), code]]);
      expect(await summaryOf(id)).toEqual({ n: 6200 });
      expect(await checkLedger(house.database)).toEqual([]);
    },
    patience,
  );

  it(
    'with outputs at which `add` ends the process only together loses none of them',
    async () => {
      house = await startHouse({ workers: 2, env, supervised: true });
      const items = inputs(60, () => ({ key: 'k' }));
      // The last one, which is written with those that were over a moment before it.
      const params = { add: 17, at: 5900, beside: true };
      const options = { ...ordered, chunkSize: 60, maxAttempts: 1 };
      const id = await house.submit({ handler: 'reducing', inputs: items, params, options });
      expect(await failuresOf(id)).toEqual([]);
      expect(await summaryOf(id)).toEqual({ n: 177_000 });
      expect(await checkLedger(house.database)).toEqual([]);
    },
    patience,
  );

  it('that is gone when its job comes harms nobody', async () => {
    house = await startHouse({ workers: 1, env: { ...env, LEASE_MS: '6000' } });
    const [worker] = house.workers;
    const pid = worker!.pid();
    worker!.signal('SIGSTOP');
    const id = await house.submit({ handler: 'echo', inputs: inputs(6), options: ordered });
    await eventually('its job waits', isQueued('echo'));
    const [batch] = await house.database.db.execute(sql`select no from batches where id = ${id}`);
    await house.database.statements.cancel(Number(batch!['no']));
    expect((await fetch(`${house.url()}/v1/batches/${id}`, { method: 'DELETE' })).status).toBe(204);
    worker!.signal('SIGCONT');
    const next = await house.submit({ handler: 'ack', inputs: inputs(60), options: ordered });
    expect((await house.ended(next)).counts).toMatchObject({ succeeded: 60 });
    expect(worker!.pid()).toBe(pid);
  });

  it('whose job comes to a worker without its handler waits for one that has it', async () => {
    house = await startHouse({ workers: 1, env: { ...env, LEASE_MS: '6000' } });
    const [first] = house.workers;
    first!.signal('SIGSTOP');
    const id = await house.submit({ handler: 'misbehave', inputs: inputs(6), params: {}, options: ordered });
    await eventually('its job waits', isQueued('misbehave'));
    await first!.end('SIGKILL');
    const other = await house.addWorker({ HANDLERS: 'libs/handlers/src' });
    const pid = other.pid();
    await eventually('its job was given back', async () => !(await isQueued('misbehave')()));
    const next = await house.submit({ handler: 'ack', inputs: inputs(60), options: ordered });
    expect((await house.ended(next)).counts).toMatchObject({ succeeded: 60 });
    expect(other.pid()).toBe(pid);
    await other.end('SIGTERM');
    await house.addWorker();
    expect((await house.ended(id)).counts).toMatchObject({ succeeded: 6 });
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it(
    'with which workers have died keeps the rate of its groups, though its items wait for a process',
    async () => {
      house = await startHouse({ workers: 0, env });
      const options = { groupBy: 'key', groupRateLimit: { limit: 5 }, chunkSize: 20 };
      const items = Array.from({ length: 12 }, () => ({ key: 'k' }));
      const id = await house.submit({ handler: 'timed', inputs: items, options });
      await house.database.db.execute(sql`update chunks set crashes = 2`);
      await house.addWorker();
      expect((await house.ended(id, withinMs)).counts).toMatchObject({ succeeded: 12 });
      const { body } = await house.request<{ items: { output: { from: number } }[] }>(`/v1/batches/${id}/results`);
      expect(
        mostWithin(
          body.items.map(({ output }) => output.from).sort((a, b) => a - b),
          900,
        ),
      ).toBeLessThanOrEqual(5);
    },
    patience,
  );
});
