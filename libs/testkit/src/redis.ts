import { Redis } from 'ioredis';

/** Runs one command and answers its reply. */
export async function redisCommand(url: string, command: string, ...args: string[]): Promise<unknown> {
  const redis = new Redis(url, { maxRetriesPerRequest: 1, lazyConnect: true, retryStrategy: () => null });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    return await redis.call(command, ...args);
  } finally {
    redis.disconnect();
  }
}

const dropScript = "for _, key in ipairs(redis.call('keys', ARGV[1])) do redis.call('unlink', key) end";

/** Drops all keys that fit a pattern, at once. */
export const dropKeys = (url: string, pattern: string): Promise<unknown> =>
  redisCommand(url, 'EVAL', dropScript, '0', pattern);

export async function redisPid(url: string): Promise<number> {
  const info = String(await redisCommand(url, 'INFO', 'server'));
  return Number(/process_id:(\d+)/.exec(info)?.[1]);
}
