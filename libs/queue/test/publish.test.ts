import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ChunkJob,
  createConsumers,
  createPublisher,
  type JobData,
  jobId,
  prepareQueues,
  type QueueBackend,
} from '@bullpen/queue';
import {
  createDatabase,
  databaseForTest,
  dropReplyTo,
  eventually,
  hasRedis,
  redisCommand,
  testRedisUrl,
} from '@bullpen/testkit';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openLink } from '../src/link.ts';

const jobs = (n: number, generation = 1): ChunkJob[] =>
  Array.from({ length: n }, (_, chunk) => ({
    chunk,
    generation,
    partition: chunk % 3,
    handler: 'echo',
    batch: 'b',
    batchNo: 1,
    items: 10,
  }));

const nowhere = { redis: 'redis://127.0.0.1:1', postgres: 'postgres://nobody@127.0.0.1:1/nothing' };

async function backendForTest(kind: QueueBackend['kind']): Promise<QueueBackend> {
  if (kind === 'redis') return { kind, url: testRedisUrl() };
  const backend = { kind, url: (await databaseForTest()).url };
  await prepareQueues(backend);
  return backend;
}

function openOn(backend: QueueBackend) {
  const installationId = randomUUID();
  const publisher = createPublisher({ backend, installationId, partitions: 3, parallelism: 4, jobsPerCall: 10 });
  onTestFinished(() => publisher.close());
  const consumers = createConsumers({ backend, installationId, leaseMs: 1000, onError: () => undefined });
  onTestFinished(() => consumers.close());
  const consume = (partition: number, process: (job: JobData) => Promise<void>) => {
    const consumer = consumers.open(partition, 8, process);
    onTestFinished(() => consumer.close());
    return consumer;
  };
  return { publisher, consume, installationId };
}

describe.each(['redis', 'postgres'] as const)('publish and consume on %s', (kind) => {
  const it = kind === 'redis' && !hasRedis ? test.skip : test;

  async function open() {
    const backend = await backendForTest(kind);
    const opened = openOn(backend);
    await eventually('the queues are reachable', () => opened.publisher.reachable());
    return { backend, ...opened };
  }

  it('each partition gets its own jobs, once', async () => {
    const { publisher, consume } = await open();
    const seen: number[][] = [[], [], []];
    expect((await publisher.publish(jobs(100))).failed).toEqual([]);
    // Before any is over: of those that are, only the last 20 a partition would still be known.
    expect((await publisher.publish(jobs(100))).failed).toEqual([]);
    for (const partition of [0, 1, 2]) consume(partition, async (job) => void seen[partition]!.push(job.chunk));
    await eventually('all are taken', () => seen.flat().length >= 100);
    for (const [partition, chunks] of seen.entries()) {
      expect(chunks.every((chunk) => chunk % 3 === partition)).toBe(true);
      expect(new Set(chunks).size).toBe(chunks.length);
    }
  });

  it('finds the jobs that are neither waiting nor active, by generation', async () => {
    const { publisher, consume } = await open();
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    consume(0, () => held);
    await publisher.publish(jobs(6));
    const asked = [0, 1, 2, 3].map((no) => ({ no, generation: 1, partition: no % 3, orphaned: false }));
    await eventually('one is active', async () => (await publisher.queues[0]!.getActiveCount()) > 0);
    expect(await publisher.findLost(asked)).toEqual([]);
    expect(await publisher.findLost([{ no: 0, generation: 2, partition: 0, orphaned: false }])).toHaveLength(1);
    expect(await publisher.findLost([{ no: 0, generation: 1, partition: 0, orphaned: true }])).toHaveLength(1);
    expect(await publisher.findLost([{ no: 1, generation: 1, partition: 1, orphaned: true }])).toEqual([]);
    const ownerless = { no: 1, generation: 1, partition: 1, orphaned: true, ownerless: true };
    expect(await publisher.findLost([ownerless])).toEqual([ownerless]);
    release();
    await eventually('a job that is over counts as lost', async () => (await publisher.findLost(asked)).length === 2);
  });

  test('takes as many jobs at once as it may, also when that changes while it runs', async () => {
    const { publisher, consume } = await open();
    const waiting: (() => void)[] = [];
    const consumer = consume(0, () => new Promise<void>((resolve) => waiting.push(resolve)));
    consumer.prefetch(3);
    await publisher.publish(jobs(60));
    const active = (): Promise<number> => publisher.queues[0]!.getActiveCount();
    await eventually('3 are taken', async () => (await active()) === 3);
    expect(await publisher.queues[0]!.getWaitingCount()).toBe(17);
    consumer.prefetch(5);
    waiting.shift()!();
    await eventually('5 are taken', async () => (await active()) === 5);
    consumer.prefetch(2);
    for (let n = 0; n < 3; n += 1) waiting.shift()!();
    await eventually('2 are left', async () => (await active()) === 2);
    let over = 4;
    const more = setInterval(() => (over += waiting.splice(0, 1).map((end) => end()).length), 1);
    onTestFinished(() => clearInterval(more));
    await eventually('all are over', async () => over === 20 && (await active()) === 0);
    expect(await publisher.queues[0]!.getWaitingCount()).toBe(0);
  });

  test('says which jobs could not be added when the server is not there', async () => {
    const { publisher } = openOn({ kind, url: nowhere[kind] });
    expect(await publisher.reachable()).toBe(false);
    const { failed, error } = await publisher.publish(jobs(3));
    expect(failed).toHaveLength(3);
    expect(error).toBeInstanceOf(Error);
  }, 20_000);

  it('gets a job again whose reply was lost after the server had handed it out', async () => {
    const { backend, publisher, consume, installationId } = await open();
    await publisher.publish([
      { chunk: 1, generation: 1, partition: 1, handler: 'echo', batch: 'b', batchNo: 1, items: 1 },
    ]);
    const link = openLink(backend, installationId, 'consumer');
    const lossy = link.openWorker(1, async () => undefined, { autorun: false, lockDuration: 1000 });
    expect(await lossy.getNextJob('whoever')).toBeDefined();
    const seen: number[] = [];
    consume(1, async (job) => void seen.push(job.chunk));
    await eventually('it comes back', () => seen.length === 1, 5000);
    await lossy.close(true);
    await link.close();
  });

  it('acknowledges only when the processor returns', async () => {
    const { publisher, consume } = await open();
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    consume(1, () => held);
    await publisher.publish([
      { chunk: 1, generation: 1, partition: 1, handler: 'echo', batch: 'b', batchNo: 1, items: 1 },
    ]);
    await eventually('it is active', async () => (await publisher.queues[1]!.getActiveCount()) === 1);
    const asked = [{ no: 1, generation: 1, partition: 1, orphaned: false }];
    expect(await publisher.findLost(asked)).toEqual([]);
    release();
    await eventually('it is acknowledged', async () => (await publisher.findLost(asked)).length === 1);
  });
});

test.runIf(hasRedis)(
  'stops to take jobs while Redis is away: BullMQ alone would wait for ever',
  async () => {
    const { publisher, installationId } = openOn({ kind: 'redis', url: testRedisUrl() });
    const backend = { kind: 'redis', url: await dropReplyTo(testRedisUrl(), jobId(7, 1)) } as const;
    const consumers = createConsumers({ backend, installationId, leaseMs: 1000, onError: () => undefined });
    const consumer = consumers.open(0, 8, async () => undefined);
    await publisher.publish([
      { chunk: 7, generation: 1, partition: 0, handler: 'echo', batch: 'b', batchNo: 1, items: 1 },
    ]);
    await eventually('the connection is cut', async () => !(await consumers.reachable()));
    await consumer.close();
    await consumers.close();
  },
  20_000,
);

test.runIf(hasRedis)('keeps what Redis holds per chunk under 1 KB', async () => {
  const { publisher, installationId } = openOn({ kind: 'redis', url: testRedisUrl() });
  await eventually('redis is reachable', () => publisher.reachable());
  await publisher.publish(jobs(2000));
  // Of these keys: what the server uses in all is other tests' too.
  const sum =
    "local bytes = 0 for _, key in ipairs(redis.call('KEYS', ARGV[1])) do bytes = bytes + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) end return bytes";
  const pattern = `{bullpen-${installationId.slice(0, 8)}-*`;
  const bytes = Number(await redisCommand(testRedisUrl(), 'EVAL', sum, '0', pattern));
  expect(bytes / 2000).toBeGreaterThan(100);
  expect(bytes / 2000).toBeLessThan(1024);
});

describe('a database that refuses connections for a while', () => {
  const job = { generation: 1, partition: 0, handler: 'echo', batch: 'b', batchNo: 1, items: 1 };

  async function open() {
    const database = await createDatabase();
    onTestFinished(() => database.drop());
    const backend = { kind: 'postgres', url: database.url } as const;
    await prepareQueues(backend);
    const given = { backend, installationId: '', leaseMs: 1000 };
    const errors: number[] = [];
    const consumers = createConsumers({ ...given, onError: () => errors.push(performance.now()) });
    onTestFinished(() => consumers.close());
    const seen: number[] = [];
    const consumer = consumers.open(0, 8, async (job) => {
      seen.push(job.chunk);
      await sleep(20);
    });
    onTestFinished(() => consumer.close());
    const publisher = createPublisher({ ...given, partitions: 1, parallelism: 1, jobsPerCall: 10 });
    onTestFinished(() => publisher.close());
    const publish = (...chunks: number[]) => publisher.publish(chunks.map((chunk) => ({ ...job, chunk })));
    await publish(1);
    await eventually('it takes jobs', () => seen.includes(1));
    return { database, errors, seen, publish };
  }

  test('is asked a few times a second', async () => {
    const { database, errors, seen, publish } = await open();
    // In the middle of its work: a worker that waits for jobs tries ten times a second at most anyway.
    await publish(...Array.from({ length: 1000 }, (_, at) => at + 2));
    await eventually('it is busy', () => seen.length > 10);
    await database.refuse(true);
    const first = await eventually('it hears of it', () => errors[0]);
    await eventually('two seconds of errors', () => errors.at(-1)! - first > 2000);
    expect(errors.length).toBeLessThan(20);
  });

  test('is heard again at once when it is back: BullMQ alone would look after 5 s', async () => {
    const { database, seen, publish } = await open();
    await database.refuse(true);
    await database.refuse(false);
    await eventually('it takes jobs again', async () => (await publish(2)).failed.length === 0);
    await eventually('it hears of them', () => seen.includes(2), 3500);
  });
});
