import { inject } from 'vitest';

/** False: the tests that need a Redis are skipped, and the queues of the others are in PostgreSQL. */
export const hasRedis = inject('redisUrl') !== null;

/** The run's Redis. Throws where there is none: the test should have been skipped. */
export function testRedisUrl(): string {
  const url = inject('redisUrl');
  if (url === null) throw new Error('there is no Redis in this run');
  return url;
}
