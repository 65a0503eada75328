import { Redis } from 'ioredis';

/**
 * A connection to Redis. `role: 'producer'` fails at once while Redis is away, so that nothing is marked that cannot be
 * added; `role: 'consumer'` waits for ever, as BullMQ's workers want it.
 *
 * Reconnects within 2 s; ioredis' own back-off would go to 20 s.
 */
export function openRedis(url: string, role: 'producer' | 'consumer'): Redis {
  const redis = new Redis(url, {
    maxRetriesPerRequest: role === 'consumer' ? null : 1,
    enableOfflineQueue: role === 'consumer',
    retryStrategy: (tries) => Math.min(50 * 2 ** tries, 2000),
    connectTimeout: 5000,
    ...(url.startsWith('rediss:') ? { tls: { rejectUnauthorized: true } } : {}),
  });
  // Without a listener an error event ends the process; the callers see failed commands instead.
  redis.on('error', () => undefined);
  return redis;
}

/** Whether it answers now, within a second. */
export async function isReachable(redis: Redis): Promise<boolean> {
  if (redis.status !== 'ready') return false;
  return withDeadline(1000, 'ping', redis.ping()).then(
    () => true,
    () => false,
  );
}

/** Rejects after `ms`: BullMQ can wait for ever for a Redis that is away. */
export async function withDeadline<Answer>(ms: number, what: string, promise: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer from Redis within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
