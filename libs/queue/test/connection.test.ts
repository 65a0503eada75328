import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, hasRedis, openProxy, testRedisUrl } from '@bullpen/testkit';
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
