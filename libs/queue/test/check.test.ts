import { checkQueues } from '@bullpen/queue';
import { hasRedis, redisCommand, testRedisUrl } from '@bullpen/testkit';
import { expect, it } from 'vitest';

const checkRedis = (url: string) => checkQueues({ kind: 'redis', url });

it.runIf(hasRedis)('finds nothing wrong with a good server', async () => {
  expect(await checkRedis(testRedisUrl())).toEqual({ problems: [], away: false });
});

it.runIf(hasRedis)('says that a server evicts, and the line that stops it, without the password', async () => {
  const url = testRedisUrl();
  await redisCommand(url, 'CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  try {
    const { problems } = await checkRedis(url);
    expect(problems).toEqual([
      expect.stringMatching(/maxmemory-policy allkeys-lru.*CONFIG SET maxmemory-policy noeviction/),
    ]);
    const { password } = new URL(url);
    if (password) expect(problems.join()).not.toContain(password);
  } finally {
    await redisCommand(url, 'CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
  }
});

it('says that a server is away', async () => {
  expect(await checkRedis('redis://127.0.0.1:1')).toEqual({
    problems: [expect.stringMatching(/cannot be reached/)],
    away: true,
  });
});
