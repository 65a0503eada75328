import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, hasRedis, openOwnServers, openProxy, redisCommand, testRedisUrl } from '@bullpen/testkit';
import { expect, it, onTestFinished } from 'vitest';
import { createPublisher } from '@bullpen/queue';
import { randomUUID } from 'node:crypto';
import { openRedis } from '../src/connection.ts';

it.runIf(hasRedis)('is ready soon after the server is back, however long that was away', async () => {
  const proxy = await openProxy(testRedisUrl());
  onTestFinished(() => proxy.close());
  const redis = openRedis(proxy.url, 'consumer');
  onTestFinished(() => redis.disconnect());
  await eventually('it is ready', () => redis.status === 'ready');
  await proxy.set({ refuses: true });
  // The sixth try is over by then, and the waits no longer grow.
  await sleep(3300);
  await proxy.set({});
  await eventually('it is ready again', () => redis.status === 'ready', 1400);
  expect(await redis.ping()).toBe('PONG');
});

it.runIf(hasRedis)('leaves a primary that has become a replica for the one that has its name now', async () => {
  const old = await openOwnServers('redis');
  onTestFinished(() => old.close());
  // Also the password is the one of the old server.
  const next = await openOwnServers('redis');
  onTestFinished(() => next.close());
  const { password } = new URL(old.redisUrl!);
  await redisCommand(next.redisUrl!, 'CONFIG', 'SET', 'requirepass', password);
  const proxy = await openProxy(old.redisUrl!);
  onTestFinished(() => proxy.close());
  const redis = openRedis(proxy.url, 'consumer');
  onTestFinished(() => redis.disconnect());
  expect(await redis.set('a', 1)).toBe('OK');
  await redisCommand(old.redisUrl!, 'REPLICAOF', '127.0.0.1', '1');
  proxy.leadTo(next.redisUrl!);
  await expect(redis.set('a', 2)).rejects.toThrow('READONLY');
  expect(await redis.set('a', 3)).toBe('OK');
});

it.runIf(hasRedis)(
  'a queue whose connection broke while it was opened takes jobs once the server is back',
  async () => {
    const proxy = await openProxy(testRedisUrl());
    onTestFinished(() => proxy.close());
    // The first INFO is ioredis' own; BullMQ's, one of each queue, come after it.
    const info = String(await redisCommand(testRedisUrl(), 'INFO'));
    await proxy.set({ cutAfterBytes: info.length + 1000 });
    const backend = { kind: 'redis', url: proxy.url } as const;
    const publisher = createPublisher({
      backend,
      installationId: randomUUID(),
      partitions: 1,
      parallelism: 1,
      jobsPerCall: 10,
    });
    onTestFinished(() => publisher.close());
    await sleep(150);
    await proxy.set({ refuses: true });
    await sleep(800);
    await proxy.set({});
    await eventually('the server is reached', () => publisher.reachable());
    const job = { chunk: 1, generation: 1, partition: 0, handler: 'echo', batch: 'b', batchNo: 1, items: 1 };
    await eventually('it takes the job', async () => (await publisher.publish([job])).failed.length === 0);
  },
);
