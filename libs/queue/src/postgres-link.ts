import {
  type BackendFactory,
  type PostgresConnectionOptions,
  PostgresQueueBackend,
  Queue,
  type QueueBaseOptions,
  Worker,
} from 'bullmq';
import { withDeadline } from './connection.ts';
import type { Link } from './link.ts';
import { queueName } from './names.ts';
import { openPostgres } from './postgres-connection.ts';

/** BullMQ waits this long after a refused connection; its own 15 s would be felt at each restart of the server. */
const retryMs = 500;

/**
 * A job that is done goes at once: to keep the last 20, each that ends deletes what is older, and those that end together
 * wait for each other over the same rows: 6.9 ms a job instead of 0.3, most of what finishing one took.
 */
const jobsKept = { removeOnComplete: { count: 0 }, removeOnFail: { count: 20 } };

/**
 * BullMQ's PostgreSQL backend. All partitions share one pool and one listening connection. The queues live in a schema
 * of the installation's own database, so they need no prefix.
 */
export function openPostgresLink(url: string): Link {
  const connection = openPostgres(url);
  const { pool } = connection;
  const waiting = new Set<PostgresQueueBackend>();
  const open: BackendFactory<PostgresQueueBackend, PostgresConnectionOptions> = (name, opts) =>
    new PostgresQueueBackend(connection, name, opts, false);
  const openWaiting: typeof open = (name, opts: QueueBaseOptions<PostgresConnectionOptions>) => {
    const backend = open(name, opts);
    waiting.add(backend);
    return backend;
  };
  // They share the connection, so none of them minds it: the one that listened is gone, and each has to listen anew.
  connection.on('listenerinvalidated', () => {
    for (const backend of waiting) void backend.disconnectBlocking().then(() => backend.reconnectBlocking());
  });
  return {
    kind: 'postgres',
    openQueue: (partition) => {
      const options = {
        connection: pool,
        defaultJobOptions: { attempts: 1, ...jobsKept },
        streams: { events: { maxLen: 100 } },
      };
      // Its type names the backend; what one can do with it is the same. So with the worker.
      return new Queue(queueName(partition), options, open) as unknown as ReturnType<Link['openQueue']>;
    },
    openWorker(partition, process, options) {
      const name = queueName(partition);
      const worker = new Worker(
        name,
        process,
        { connection: pool, runRetryDelay: retryMs, ...jobsKept, ...options },
        openWaiting,
      );
      worker.once('closed', () => waiting.delete(worker.getBackend()));
      return worker as unknown as ReturnType<Link['openWorker']>;
    },
    ping: () => pool.query('select 1'),
    isHot: isServerError,
    close: () => withDeadline(2000, 'close', connection.close()).catch(() => undefined),
  };
}

/** Errors of BullMQ itself (a lock that was lost) have a number for a code; those of the server a text, or speak of the connection. */
const isServerError = (error: Error): boolean =>
  typeof (error as { code?: unknown }).code === 'string' || /terminat|timeout|queryable|SSL/i.test(error.message);
