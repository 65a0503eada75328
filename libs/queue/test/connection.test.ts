import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, hasRedis, openOwnServers, openProxy, redisCommand, testRedisUrl } from '@bullpen/testkit';
import { expect, it, onTestFinished } from 'vitest';
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
