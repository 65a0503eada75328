import { Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { openRedis } from './connection.ts';
import { endWhenMute } from './mute.ts';
import type { Link } from './link.ts';
import { queueName, queuePrefix } from './names.ts';

/** What is over stays to be seen on the board for a while: 20 jobs a partition. */
const jobsKept = { removeOnComplete: { count: 20 }, removeOnFail: { count: 20 } };

/** All partitions share one connection; each worker adds the one that BullMQ blocks on. */
export function openRedisLink(url: string, installationId: string, role: 'producer' | 'consumer'): Link {
  const connection = openShared(url, role);
  const place = (partition: number) => ({ connection, prefix: queuePrefix(installationId, partition) });
  return {
    kind: 'redis',
    openQueue: (partition) =>
      new Queue(queueName(partition), {
        ...place(partition),
        defaultJobOptions: { attempts: 1, ...jobsKept },
        streams: { events: { maxLen: 100 } },
      }),
    openWorker: (partition, process, options) =>
      new Worker(queueName(partition), process, { ...place(partition), ...jobsKept, ...options }),
    ping: async () => {
      // A command would wait for the connection.
      if (role === 'producer' && connection.status !== 'ready') throw new Error('Redis is not connected');
      await connection.ping();
    },
    // Whatever the server refuses: full memory, a failed save, no replicas, no login. BullMQ would fetch again 20 000 times a second.
    // None of its scripts answers by an error; a lock that is lost is an error of its own.
    isHot: (error) => error.name === 'ReplyError',
    close: async () => connection.disconnect(),
  };
}

function openShared(url: string, role: 'producer' | 'consumer'): Redis {
  const connection = openRedis(url, role);
  endWhenMute(connection, true);
  const duplicate = connection.duplicate.bind(connection);
  connection.duplicate = (options) => {
    const copy = duplicate(options);
    endWhenMute(copy, false);
    return copy;
  };
  return connection;
}
