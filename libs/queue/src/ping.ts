import { openRedis, withDeadline } from './connection.ts';
import type { QueueBackend } from './backend.ts';

/** Time of one round trip to Redis in ms; null where the queues are in PostgreSQL, whose round trip is measured anyway. */
export const measureQueues = async ({ kind, url }: QueueBackend): Promise<number | null> =>
  kind === 'redis' ? measureRedis(url) : null;

/** Time of one round trip to Redis in ms: the median of five. Throws when it does not answer. */
async function measureRedis(url: string): Promise<number> {
  const redis = openRedis(url, 'consumer');
  try {
    const times: number[] = [];
    for (let run = 0; run < 6; run += 1) {
      const started = performance.now();
      await withDeadline(5000, 'ping', redis.ping());
      times.push(performance.now() - started);
    }
    // The first one also connected.
    return Math.round(times.slice(1).sort((a, b) => a - b)[2]! * 100) / 100;
  } finally {
    redis.disconnect();
  }
}
