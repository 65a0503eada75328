import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createPublisher } from '@bullpen/queue';
import {
  type AppProcess,
  eventually,
  freePort,
  hasRedis,
  type House,
  openTrial,
  startApp,
  startHouse,
  type Trial,
} from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';

const leaseMs = 1500;
const env = {
  HANDLERS: 'libs/handlers/src,libs/testkit/handlers',
  LEASE_MS: String(leaseMs),
  WORKER_CONCURRENCY: '20',
  // Each addBulk call has one job, and comes after the one before it.
  PUBLISH_CHUNK_SIZE: '1',
  PUBLISH_PARALLELISM: '1',
};

let house: House;
let trial: Trial;
beforeAll(async () => {
  house = await startHouse({ workers: 2, env: { ...env, PORT: await freePort() } });
});
afterAll(() => house.stop());
beforeEach(() => void (trial = openTrial(house)));

async function addProducer(): Promise<AppProcess> {
  const servers = { DATABASE_URL: house.database.url, REDIS_URL: house.redisUrl };
  const queues = { QUEUE_BACKEND: hasRedis ? 'redis' : 'postgres' };
  const producer = await startApp('producer', { ...env, ...servers, ...queues, PORT: '0', WORKERS: '3' });
  onTestFinished(async () => void (await producer.end('SIGKILL')));
  return producer;
}

/** Jobs that it has added. */
async function addedBy(producer: AppProcess): Promise<number> {
  const text = await (await fetch(`${String(producer.facts()['url'])}/metrics`)).text();
  return Number(/^bullpen_jobs_published_total\{outcome="added"\} (\d+)$/m.exec(text)![1]);
}

describe('a producer', () => {
  it.each([
    ['X6', 'after the commit, before it answers', 'after-accept'],
    ['X6', 'after it has marked chunks, before it adds their jobs', 'after-mark'],
    ['X7', 'between two addBulk', 'between-adds'],
  ])('%s killed %s: I1, I2, I4, I5, I7', async (_x, _when, place) => {
    await house.producer.end('SIGTERM');
    await house.producer.restart({ TEST_CRASH_AT: place });
    const submitted = trial.submit({ count: 200, ms: 5, options: { chunkSize: 10 } });
    expect(await house.producer.over()).toBe(null);
    await house.producer.restart();
    const id = await submitted;
    expect(trial.client.calls[0]!.answers.at(-1)).toMatchObject({ status: 202, id });
    expect(await trial.outcome()).toEqual([]);
  });

  it('X35 beside two others that publish at once: I1, I2, I4, I5, I7', async () => {
    const others = await Promise.all([addProducer(), addProducer()]);
    for (let batch = 0; batch < 8; batch += 1)
      await trial.submit({ count: 300, ...(batch % 2 ? { keys: 20 } : {}), options: { chunkSize: 5 } });
    expect(await trial.outcome()).toEqual([]);
    for (const producer of [house.producer, ...others]) expect(await addedBy(producer)).toBeGreaterThan(0);
  });

  it('X36 frozen for 3 leases beside another, and back: I1, I2, I4, I5, I7', async () => {
    const other = await addProducer();
    // More than the two workers can do while it is away.
    const id = await trial.submit({ count: 4500, ms: 60, options: { chunkSize: 20 } });
    await trial.started(100);
    house.producer.signal('SIGSTOP');
    const [before, addedBefore] = [(await trial.executions()).length, await addedBy(other)];
    await sleep(3 * leaseMs);
    const [row] = await house.database.db.execute(sql`select state from batches where id = ${id}`);
    house.producer.signal('SIGCONT');
    expect(row).toEqual({ state: 'running' });
    expect((await trial.executions()).length).toBeGreaterThan(before + 500);
    expect(await addedBy(other)).toBeGreaterThan(addedBefore);
    // It judges nobody by the time that it slept through.
    expect(await trial.outcome()).toEqual([]);
    expect(await trial.crashes()).toBe(0);
    expect(await other.end('SIGTERM')).toBe(0);
  });

  it('X40 gets 20 equal submits at once, under one key: I1, I2, I4', async () => {
    const other = await addProducer();
    const key = randomUUID();
    const body = JSON.stringify({ handler: 'echo', count: 500, name: key });
    const headers = { 'content-type': 'application/json', 'idempotency-key': key };
    const send = (url: string) => () => fetch(`${url}/v1/batches`, { method: 'POST', headers, body });
    const urls = Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? house.url() : String(other.facts()['url'])));
    const answers = await Promise.all(urls.map((url) => send(url)()));
    const ids = await Promise.all(answers.map(async (answer) => ((await answer.json()) as { id?: string }).id));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(ids).size).toBe(1);
    const stored = await house.database.db.execute(sql`select total::float8 from batches where name = ${key}`);
    expect([...stored]).toEqual([{ total: 500 }]);
    expect((await house.ended(ids[0]!)).counts).toMatchObject({ succeeded: 500 });
    expect(await trial.outcome()).toEqual([]);
  });
});

it('X34 jobs that come twice and thrice, to one worker and to two, run their chunk once: I1, I2, I3, I7', async () => {
  const backend = hasRedis
    ? ({ kind: 'redis', url: house.redisUrl } as const)
    : ({ kind: 'postgres', url: house.database.url } as const);
  const { id: installationId, partitions } = house.database.installation;
  const publisher = createPublisher({ backend, installationId, partitions, parallelism: 4, jobsPerCall: 100 });
  onTestFinished(() => publisher.close());
  await eventually('the queues are reachable', () => publisher.reachable());
  /** `elsewhere` is a partition of another worker than the one that has its own. */
  const openJobs = () =>
    house.database.db.execute<{
      chunk: string;
      generation: number;
      partition: number;
      elsewhere: number | null;
      batch: string;
      batchNo: number;
      items: number;
      line: number | null;
    }>(sql`
      select c.no as chunk, c.generation, c.partition, b.id as batch, b.no as "batchNo", c.size as items, c.line,
        (select q.no from partitions p join partitions q on q.owner <> p.owner where p.no = c.partition
          order by (q.no - p.no + ${partitions}::int) % ${partitions}::int limit 1) as elsewhere
      from chunks c join batches b on b.no = c.batch where c.state in ('queued', 'running') and c.partition is not null`);
  const signalWorkers = (signal: 'SIGSTOP' | 'SIGCONT'): void => {
    for (const worker of house.workers) worker.signal(signal);
  };

  await eventually('each worker has a share', async () => {
    const owners = await house.database.db.execute(sql`select distinct owner from partitions where owner is not null`);
    return owners.length === house.workers.length;
  });
  // Nothing runs before the first jobs have come twice.
  signalWorkers('SIGSTOP');
  await trial.submit({ count: 600, ms: 100, options: { chunkSize: 10 } });
  await trial.submit({ count: 1000, ms: 1, keys: 40, options: { chunkSize: 10 } });
  await eventually('chunks are published', async () => {
    const jobs = await openJobs();
    if (jobs.length > 5 && jobs.every(({ elsewhere }) => elsewhere !== null)) return true;
    // Nothing is published for workers whose leases are over, and one may have taken those of both.
    signalWorkers('SIGCONT');
    await sleep(50);
    signalWorkers('SIGSTOP');
    return false;
  });
  for (let round = 1; round <= 10; round += 1) {
    const jobs = (await openJobs()).map((job) => ({
      ...job,
      chunk: Number(job.chunk),
      // Both claim it at once; a line is its owner's alone.
      partition: round % 2 === 1 && job.line === null ? (job.elsewhere ?? job.partition) : job.partition,
      generation: job.generation + 1000 * round,
      handler: 'journaled',
      keyed: job.line !== null,
    }));
    expect((await publisher.publish(jobs)).failed).toEqual([]);
    signalWorkers('SIGCONT');
  }
  expect(await trial.outcome()).toEqual([]);
});
