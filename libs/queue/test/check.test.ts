import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { checkQueues } from '@bullpen/queue';
import { eventually, freePort, hasRedis, redisCommand, testRedisUrl } from '@bullpen/testkit';
import { expect, it, onTestFinished } from 'vitest';

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

it.runIf(hasRedis)('refuses a node of a Redis Cluster', async () => {
  const url = await clusterNode();
  expect(await checkRedis(url)).toEqual({
    problems: [expect.stringMatching(/is a node of a Redis Cluster, .*: give REDIS_URL a server of its own/)],
    away: false,
  });
});

/** Starts the same Redis as the one of the tests, in cluster mode. */
async function clusterNode(): Promise<string> {
  const info = String(await redisCommand(testRedisUrl(), 'INFO', 'server'));
  const executable = /executable:(\S+)/.exec(info)![1]!;
  // Where it was unpacked and not installed, its libraries lie beside it.
  const libraries = join(dirname(executable), '../lib');
  const paths = readdirSync(libraries).map((name) => join(libraries, name));
  const folder = mkdtempSync(join(tmpdir(), 'bullpen-cluster-'));
  const [port, busPort] = [await freePort(), await freePort()];
  const args = ['--port', port, '--bind', '127.0.0.1', '--cluster-enabled', 'yes', '--dir', folder];
  const more = ['--cluster-port', busPort, '--maxmemory-policy', 'noeviction', '--save', ''];
  const node = spawn(executable, [...args, ...more], {
    stdio: 'ignore',
    env: { ...process.env, LD_LIBRARY_PATH: paths.join(':') },
  });
  onTestFinished(() => {
    node.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const url = `redis://127.0.0.1:${port}`;
  await eventually('it answers', () =>
    redisCommand(url, 'PING').then(
      () => true,
      () => false,
    ),
  );
  return url;
}

it('says that a server is away', async () => {
  expect(await checkRedis('redis://127.0.0.1:1')).toEqual({
    problems: [expect.stringMatching(/cannot be reached/)],
    away: true,
  });
});
