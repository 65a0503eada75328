import { checkLedger, eventually, type House, mostWithin, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const env = { HANDLERS: 'libs/handlers/src,libs/testkit/handlers' };

interface Timed {
  from: number;
  to: number;
  pid: number;
  attempt: number;
  calls?: number[];
  together?: number;
}

/** What the items of a batch said, those that are done. */
async function timesOf(id: string): Promise<Timed[]> {
  const headers = { accept: 'application/x-ndjson' };
  const response = await fetch(`${house.url()}/v1/batches/${id}/results`, { headers });
  const rows = (await response.text()).trim().split('\n').filter(Boolean);
  return rows.map((row) => JSON.parse(row) as { output?: Timed }).flatMap(({ output }) => output ?? []);
}

const startsOf = (items: readonly Timed[]): number[] => items.map(({ from }) => from).sort((a, b) => a - b);

/** How many items were in their handlers at once. */
function atOnce(items: readonly Timed[]): number {
  const ends = items.map(({ to }) => ({ at: to, by: -1 }));
  const steps = [...items.map(({ from }) => ({ at: from, by: 1 })), ...ends];
  let open = 0;
  return steps.sort((a, b) => a.at - b.at || a.by - b.by).reduce((found, { by }) => Math.max(found, (open += by)), 0);
}

async function change(id: string, options: object): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const { status, body } = await house.request(`/v1/batches/${id}`, {
    method: 'PATCH',
    headers,
    body: JSON.stringify({ options }),
  });
  expect({ status, body }).toMatchObject({ status: 200 });
}

async function limitHandler(name: string, limits: object): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const path = `/v1/handlers/${name}/limits`;
  expect((await house.request(path, { method: 'PUT', headers, body: JSON.stringify(limits) })).status).toBe(200);
}

const numberOf = async (id: string): Promise<number> =>
  Number((await house.database.db.execute(sql`select no from batches where id = ${id}`))[0]!['no']);

describe('a rate limit', () => {
  it('is kept by 1, 4 and 8 workers together, and used; to wait is no failure', async () => {
    house = await startHouse({ workers: 1, env });
    for (const workers of [1, 4, 8]) {
      while (house.workers.length < workers) await house.addWorker();
      const rateLimit = { limit: 50, cost: 2 };
      const id = await house.submit({ handler: 'timed', count: 150, options: { rateLimit, chunkSize: 50 } });
      expect((await house.ended(id, 60_000)).counts).toMatchObject({ succeeded: 150 });
      const items = await timesOf(id);
      // Each item makes two calls. One item more where a loop was later than a start may be: what others have leased by then is not put off.
      expect(2 * mostWithin(startsOf(items))).toBeLessThanOrEqual(52);
      // In the best two seconds: on a machine that has other things to do starts come too late and are lost. The bench asks 0.97 of all.
      expect(2 * mostWithin(startsOf(items), 2000)).toBeGreaterThanOrEqual(0.7 * 100);
      expect(Math.max(...items.map(({ attempt }) => attempt))).toBe(1);
    }
    expect(await checkLedger(house.database)).toEqual([]);
  });

  const live =
    'that is set on a batch that runs is kept from 2 s on, and from 2 s on there is none when it is taken away';
  it.each([8])(`${live}, with %i workers`, async (workers) => {
    // Not auto, which may come to the end of the batch before it was looked at.
    house = await startHouse({ workers, env: { ...env, WORKER_CONCURRENCY: '50' } });
    const id = await house.submit({ handler: 'timed', count: 100_000, params: { ms: 50 } });
    await eventually('it runs', async () => (await house.batch(id)).counts.succeeded > 1000);
    await change(id, { rateLimit: { limit: 500 } });
    const limited = Date.now();
    await eventually('it has run for a while', () => Promise.resolve(Date.now() - limited > 5000), 10_000);
    await change(id, { rateLimit: null });
    const freed = Date.now();
    await eventually('it has run for a while', () => Promise.resolve(Date.now() - freed > 3500), 10_000);
    await house.database.statements.cancel(await numberOf(id));
    await eventually('it has stopped', async () => (await house.batch(id)).counts.running === 0);
    const starts = startsOf(await timesOf(id));
    const between = (from: number, to: number): number[] => starts.filter((at) => at >= from && at < to);
    expect(mostWithin(between(0, limited))).toBeGreaterThan(600);
    expect(mostWithin(between(limited + 2000, freed))).toBeLessThanOrEqual(510);
    expect(mostWithin(between(limited + 2000, freed))).toBeGreaterThan(400);
    expect(mostWithin(between(freed + 2000, Infinity))).toBeGreaterThan(600);
  });

  it('of a batch with a thousand chunks keeps nobody else from anything', async () => {
    house = await startHouse({ workers: 2, env });
    const alone = await house.submit({ handler: 'echo', count: 50_000 });
    await house.ended(alone);
    const tookMs = async (id: string): Promise<number> => {
      const { body } = await house.request<{ createdAt: string; finishedAt: string }>(`/v1/batches/${id}`);
      return Date.parse(body.finishedAt) - Date.parse(body.createdAt);
    };
    const options = { rateLimit: { limit: 2 }, chunkSize: 1 };
    const slow = await house.submit({ handler: 'timed', count: 1000, options });
    await eventually('it waits', async () => (await house.batch(slow)).counts.succeeded > 2);
    for (let run = 0; run < 2; run += 1) {
      const beside = await house.submit({ handler: 'echo', count: 50_000 });
      await house.ended(beside);
      expect(await tookMs(beside)).toBeLessThan(3 * (await tookMs(alone)) + 1000);
    }
    expect((await house.batch(slow)).counts.succeeded).toBeLessThan(200);
    // Whoever waits hears of a cancel.
    await house.database.statements.cancel(await numberOf(slow));
    await eventually('nothing waits', async () => (await house.batch(slow)).counts.running === 0, 2500);
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('of a handler holds for all its batches together, beside those that they have themselves', async () => {
    house = await startHouse({ workers: 3, env });
    await limitHandler('timed', { rateLimit: { limit: 100 } });
    const options = { rateLimit: { limit: 20 } };
    const slow = await house.submit({ handler: 'timed', count: 60, options });
    const others = [0, 1].map(() => house.submit({ handler: 'timed', count: 160 }));
    const ids = [slow, ...(await Promise.all(others))];
    for (const id of ids) await house.ended(id, 60_000);
    const all = await Promise.all(ids.map(timesOf));
    expect(mostWithin(startsOf(all[0]!))).toBeLessThanOrEqual(21);
    expect(mostWithin(startsOf(all.flat()))).toBeLessThanOrEqual(103);
    expect(mostWithin(startsOf(all.flat()), 2000)).toBeGreaterThan(120);
  });

  it('ends a wait when the worker drains, which others go on with', async () => {
    house = await startHouse({ workers: 2, env });
    const id = await house.submit({
      handler: 'timed',
      count: 60,
      options: { rateLimit: { limit: 10 }, chunkSize: 20 },
    });
    await eventually('it runs', async () => (await house.batch(id)).counts.succeeded > 5);
    const began = Date.now();
    expect(await house.workers[0]!.end('SIGTERM')).toBe(0);
    expect(Date.now() - began).toBeLessThan(5000);
    expect((await house.ended(id, 30_000)).counts.succeeded).toBe(60);
    expect(Math.max(...(await timesOf(id)).map(({ attempt }) => attempt))).toBe(1);
  });
});

describe('what a handler does', () => {
  it('with threads, and with items that run together, goes by the limit too', async () => {
    house = await startHouse({ workers: 2, env });
    const rateLimit = { limit: 40 };
    const params = { ms: 5, busy: true };
    const inThreads = await house.submit({ handler: 'timed-in-threads', count: 100, params, options: { rateLimit } });
    const inputs = Array.from({ length: 100 }, () => ({ ms: 1 }));
    const withInputs = await house.submit({ handler: 'timed-in-threads', inputs, options: { rateLimit } });
    const together = await house.submit({
      handler: 'timed-together',
      count: 2000,
      options: { rateLimit: { limit: 1000 } },
    });
    for (const id of [inThreads, withInputs, together])
      expect((await house.ended(id, 60_000)).counts).toMatchObject({ failed: 0, pending: 0 });
    for (const id of [inThreads, withInputs]) expect(mostWithin(startsOf(await timesOf(id)))).toBeLessThanOrEqual(41);
    const calls = await timesOf(together);
    expect(mostWithin(startsOf(calls))).toBeLessThanOrEqual(1025);
    expect(Math.max(...calls.map((call) => call.together!))).toBeGreaterThan(3);
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it.each(['timed', 'timed-in-threads'])(
    'takes slots inside %s by ctx.limit, which gives its place to others',
    async (handler) => {
      house = await startHouse({ workers: 1, env: { ...env, WORKER_CONCURRENCY: '2' } });
      const options = { rateLimit: { limit: 20 }, timeoutMs: 250, maxAttempts: 1 };
      const id = await house.submit({ handler, count: 30, params: { further: 3 }, options });
      // An echo that waits for nothing goes on beside it, with both places.
      await eventually('it runs', async () => (await house.batch(id)).counts.running > 0);
      await house.ended(await house.submit({ handler: 'sleep', count: 20, params: { ms: 5 } }), 5000);
      expect((await house.ended(id, 30_000)).counts).toMatchObject({ succeeded: 30, failed: 0 });
      const items = await timesOf(id);
      const calls = items.flatMap(({ from, calls = [] }) => [from, ...calls]);
      expect(calls).toHaveLength(120);
      expect(mostWithin(calls)).toBeLessThanOrEqual(21);
    },
  );

  it('makes all wait when it says so, which costs the others no attempt', async () => {
    house = await startHouse({ workers: 3, env });
    const params = { ms: 20, pauseMs: 4000 };
    const id = await house.submit({ handler: 'timed', count: 30_000, params, options: { chunkSize: 100 } });
    const { createdAt } = (await house.request<{ createdAt: string }>(`/v1/batches/${id}`)).body;
    expect((await house.ended(id, 60_000)).counts).toMatchObject({ succeeded: 30_000 });
    const items = await timesOf(id);
    const began = Date.parse(createdAt);
    const during = items.filter(({ from }) => from > began + 2500 && from < began + 3900);
    expect(during.length).toBe(0);
    expect(items.filter(({ attempt }) => attempt > 1)).toHaveLength(1);
  });
});

describe('concurrency', () => {
  it('of 3 over 4 workers is 3 at once, never 4, of a handler too, and all are used', async () => {
    house = await startHouse({ workers: 4, env });
    const params = { ms: 40 };
    const id = await house.submit({ handler: 'timed', count: 200, params, options: { concurrency: 3, chunkSize: 20 } });
    await house.ended(id, 60_000);
    expect(atOnce(await timesOf(id))).toBe(3);
    await limitHandler('timed', { concurrency: 3 });
    const ids = await Promise.all([0, 1].map(() => house.submit({ handler: 'timed', count: 100, params })));
    for (const each of ids) await house.ended(each, 60_000);
    expect(atOnce((await Promise.all(ids.map(timesOf))).flat())).toBe(3);
    expect(await checkLedger(house.database)).toEqual([]);
  });

  it('of 1 works, and of a worker that is killed is free after its lease', async () => {
    house = await startHouse({ workers: 3, env });
    const id = await house.submit({
      handler: 'timed',
      count: 120,
      params: { ms: 30 },
      options: { concurrency: 1, chunkSize: 10 },
    });
    await eventually('some have run', async () => (await house.batch(id)).counts.succeeded > 10);
    await house.workers[0]!.end('SIGKILL');
    await house.workers[1]!.end('SIGKILL');
    expect((await house.ended(id, 60_000)).counts.succeeded).toBe(120);
    const items = await timesOf(id);
    expect(atOnce(items)).toBe(1);
  });
});

describe('groups', () => {
  it('go by the limit of their batch, and each by its own', async () => {
    house = await startHouse({ workers: 1, env });
    const inputs = Array.from({ length: 120 }, (_, at) => ({ key: `k${at % 4}`, ms: 1 }));
    // The first of each group starts at once: nobody else has had any of a new batch, since no partition moves.
    const rare = await house.submit({
      handler: 'timed',
      inputs: inputs.slice(0, 4),
      options: { groupBy: 'key', groupRateLimit: { limit: 1, perMs: 3_600_000 } },
    });
    expect((await house.ended(rare)).counts).toMatchObject({ succeeded: 4 });
    await house.addWorker();
    const options = { groupBy: 'key', ordered: true, rateLimit: { limit: 40 } };
    const id = await house.submit({ handler: 'timed', inputs, options });
    const grouped = await house.submit({
      handler: 'timed',
      inputs: inputs.slice(0, 60),
      options: { groupBy: 'key', groupRateLimit: { limit: 5 } },
    });
    for (const each of [id, grouped]) expect((await house.ended(each, 60_000)).counts).toMatchObject({ failed: 0 });
    expect(mostWithin(startsOf(await timesOf(id)))).toBeLessThanOrEqual(41);
    // Four groups of 15 items each.
    const items = await timesOf(grouped);
    expect(mostWithin(startsOf(items))).toBeLessThanOrEqual(4 * 6);
    for (const key of [0, 1, 2, 3]) {
      const own = startsOf(items.filter((_, at) => at % 4 === key));
      for (const [at, from] of own.entries()) if (at > 0) expect(from - own[at - 1]!).toBeGreaterThan(180);
    }
  });
});
