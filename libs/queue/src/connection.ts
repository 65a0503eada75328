import { isIP } from 'node:net';
import { Redis, type RedisOptions } from 'ioredis';

/** A client of a server, which does not connect before it is asked if it is `lazyConnect`. `rediss://` is verified, in any case. */
export function createRedis(url: string, options: RedisOptions): Redis {
  const place = new URL(url);
  // ioredis takes options from the query too, before ours.
  place.searchParams.delete('tls');
  const host = place.hostname.replace(/^\[|\]$/g, '');
  const name = isIP(host) === 0 ? { servername: host } : {};
  const tls = place.protocol === 'rediss:' ? { tls: { rejectUnauthorized: true, ...name } } : {};
  const redis = new Redis(place.href, { ...options, ...tls });
  // Without a listener an error event ends the process; the callers see failed commands instead.
  redis.on('error', () => undefined);
  return redis;
}

/**
 * A connection to Redis. `role: 'producer'` fails at once while Redis is away, so that nothing is marked that cannot be
 * added; `role: 'consumer'` waits for ever, as BullMQ's workers want it.
 *
 * Is ready within 2 s of the server's return, of which a connect and its handshake may take one; ioredis' own back-off would go to
 * 20 s, and to 10 s where the server says that it still loads.
 */
export function openRedis(url: string, role: 'producer' | 'consumer'): Redis {
  return createRedis(url, {
    maxRetriesPerRequest: role === 'consumer' ? null : 1,
    enableOfflineQueue: role === 'consumer',
    retryStrategy: (tries) => Math.min(50 * 2 ** tries, 1000),
    connectTimeout: 2000,
    maxLoadingRetryTime: 1000,
    // A primary that has become a replica keeps its connections: a new one goes where the name leads by now. Redis 6.2 puts the
    // word within the message. The pause of consume.ts keeps these few.
    reconnectOnError: ({ message }) => /\b(READONLY|MASTERDOWN)\b/.test(message),
    // Of those that nothing is sent on for long.
    keepAlive: 10_000,
  });
}

/** Rejects after `ms`: BullMQ can wait for ever for a server that is away. */
export async function withDeadline<Answer>(ms: number, what: string, promise: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer from the queue within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
