import { randomUUID } from 'node:crypto';
import { type ChunkJob, createConsumers, createPublisher, type JobData } from '@bullpen/queue';
import { eventually, redisCommand } from '@bullpen/testkit';
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { queueName, queuePrefix } from '../src/names.ts';
import { describe, expect, inject, it, onTestFinished } from 'vitest';

const jobs = (n: number, generation = 1): ChunkJob[] =>
  Array.from({ length: n }, (_, chunk) => ({
    chunk,
    generation,
    partition: chunk % 3,
    handler: 'echo',
    batch: 'b',
    items: 10,
  }));

function open(redisUrl = inject('redisUrl')) {
  const installationId = randomUUID();
  const publisher = createPublisher({ redisUrl, installationId, partitions: 3, parallelism: 4, jobsPerCall: 10 });
  onTestFinished(() => publisher.close());
  const consumers = createConsumers({ redisUrl, installationId, leaseMs: 1000, onError: () => undefined });
  onTestFinished(() => consumers.close());
  const consume = (partition: number, process: (job: JobData) => Promise<void>) => {
    const consumer = consumers.open(partition, 8, process);
    onTestFinished(() => consumer.close());
    return consumer;
  };
  return { publisher, consume, installationId };
}

describe('publish and consume', () => {
  it('each partition gets its own jobs, once', async () => {
    const { publisher, consume } = open();
    await eventually('redis is reachable', () => publisher.reachable());
    const seen: number[][] = [[], [], []];
    for (const partition of [0, 1, 2]) consume(partition, async (job) => void seen[partition]!.push(job.chunk));
    expect((await publisher.publish(jobs(100))).failed).toEqual([]);
    expect((await publisher.publish(jobs(100))).failed).toEqual([]);
    await eventually('all are taken', () => seen.flat().length >= 100);
    for (const [partition, chunks] of seen.entries()) {
      expect(chunks.every((chunk) => chunk % 3 === partition)).toBe(true);
      expect(new Set(chunks).size).toBe(chunks.length);
    }
  });

  it('finds the jobs that are neither waiting nor active, by generation', async () => {
    const { publisher, consume } = open();
    await eventually('redis is reachable', () => publisher.reachable());
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

  it('takes as many jobs at once as it may, also when that changes while it runs', async () => {
    const { publisher, consume } = open();
    await eventually('redis is reachable', () => publisher.reachable());
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
    const more = setInterval(() => waiting.shift()?.(), 1);
    onTestFinished(() => clearInterval(more));
    await eventually('all are over', async () => (await publisher.queues[0]!.getCompletedCount()) === 20);
  });

  it('says which jobs could not be added when Redis is not there', async () => {
    const { publisher } = open('redis://127.0.0.1:1');
    expect(await publisher.reachable()).toBe(false);
    const { failed, error } = await publisher.publish(jobs(3));
    expect(failed).toHaveLength(3);
    expect(error).toBeInstanceOf(Error);
  }, 20_000);

  it('gets a job again whose reply was lost after Redis had handed it out', async () => {
    const { publisher, consume, installationId } = open();
    await eventually('redis is reachable', () => publisher.reachable());
    await publisher.publish([{ chunk: 1, generation: 1, partition: 1, handler: 'echo', batch: 'b', items: 1 }]);
    const redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
    const lossy = new Worker(queueName(1), null, {
      connection: redis,
      prefix: queuePrefix(installationId, 1),
      lockDuration: 1000,
    });
    expect(await lossy.getNextJob('whoever')).toBeDefined();
    const seen: number[] = [];
    consume(1, async (job) => void seen.push(job.chunk));
    await eventually('it comes back', () => seen.length === 1, 5000);
    await lossy.close(true);
    redis.disconnect();
  });

  it('acknowledges only when the processor returns', async () => {
    const { publisher, consume } = open();
    await eventually('redis is reachable', () => publisher.reachable());
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    consume(1, () => held);
    await publisher.publish([{ chunk: 1, generation: 1, partition: 1, handler: 'echo', batch: 'b', items: 1 }]);
    await eventually('it is active', async () => (await publisher.queues[1]!.getActiveCount()) === 1);
    expect(await publisher.queues[1]!.getCompletedCount()).toBe(0);
    release();
    await eventually('it is acknowledged', async () => (await publisher.queues[1]!.getCompletedCount()) === 1);
  });

  it('keeps what Redis holds per chunk under 1 KB', async () => {
    const { publisher } = open();
    await eventually('redis is reachable', () => publisher.reachable());
    const used = async (): Promise<number> =>
      Number(/used_memory:(\d+)/.exec(String(await redisCommand(inject('redisUrl'), 'INFO', 'memory')))?.[1]);
    const before = await used();
    await publisher.publish(jobs(2000));
    expect(((await used()) - before) / 2000).toBeLessThan(1024);
  });
});
