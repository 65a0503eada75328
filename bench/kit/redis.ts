import { Redis } from 'ioredis';

/** Bytes that Redis holds. It moves by megabytes with the log and the connections: only thousands of jobs tell. */
export async function usedByRedis(url: string): Promise<number> {
  const redis = new Redis(url);
  try {
    const [, used = '0'] = /^used_memory:(\d+)/m.exec(await redis.info('memory')) ?? [];
    return Number(used);
  } finally {
    redis.disconnect();
  }
}

/** What Redis takes at most: LPUSH of 100 bytes, 50 in a pipeline, commands a second. */
export async function pushesPerSecond(url: string): Promise<number> {
  const redis = new Redis(url);
  const [value, pushes] = ['x'.repeat(100), 200_000];
  try {
    const started = performance.now();
    for (let sent = 0; sent < pushes; sent += 50 * 20) {
      const pipelines = Array.from({ length: 20 }, () => {
        const pipeline = redis.pipeline();
        for (let at = 0; at < 50; at += 1) pipeline.lpush('bench-limit', value);
        return pipeline.exec();
      });
      await Promise.all(pipelines);
    }
    return (pushes / (performance.now() - started)) * 1000;
  } finally {
    await redis.del('bench-limit');
    redis.disconnect();
  }
}
