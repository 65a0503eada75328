/** Where the queues are kept. BullMQ's API is the same on both, and nothing but wake-ups lives there. */
export interface QueueBackend {
  kind: 'redis' | 'postgres';
  url: string;
}

/** What the settings name; null where they ask for a Redis and name none. */
export function queueBackend(settings: {
  queueBackend: 'auto' | 'redis' | 'postgres';
  databaseUrl: string;
  redisUrl: string | undefined;
}): QueueBackend | null {
  if (settings.queueBackend === 'postgres') return { kind: 'postgres', url: settings.databaseUrl };
  return settings.redisUrl === undefined ? null : { kind: 'redis', url: settings.redisUrl };
}

/** As people call it. */
export const backendName: Record<QueueBackend['kind'], string> = { redis: 'Redis', postgres: 'PostgreSQL' };

/** Connections of a process that carry the statements of its queues; one more listens. */
export const statementConnections = 4;

/** PostgreSQL connections that the queues of one process open at most, beside those of DATABASE_POOL_MAX. */
export const queueConnections = (kind: QueueBackend['kind']): number =>
  kind === 'postgres' ? statementConnections + 1 : 0;
