import { Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { isReachable, openRedis, withDeadline } from './connection.ts';
import { type JobData, queueName, queuePrefix } from './names.ts';

export interface ConsumersOptions {
  redisUrl: string;
  installationId: string;
  /** Jobs of a partition taken at once; they wait in the process until they are claimed. */
  prefetch: number;
  /**
   * A job that is active under nobody comes back within three of these: Redis handed it out, but the reply was lost, or
   * its worker is gone.
   */
  leaseMs: number;
  onError: (error: unknown) => void;
}

/** Resolves when the chunk is flushed, or is none of this worker's. Must not reject. */
export type ProcessJob = (job: JobData, publishedAt: number) => Promise<void>;

export interface Consumer {
  /** Takes no more jobs and waits for those it has. */
  close(): Promise<void>;
}

/** Errors under which BullMQ would fetch again at once, 6 000 times a second: full memory, failed save, replica, no login. */
const hotErrors = /^(OOM|MISCONF|READONLY|NOAUTH|NOPERM)/;
const coolOffMs = 1000;
const closeDeadlineMs = 5000;

/**
 * The side that takes jobs. All partitions share one connection; each adds the one that BullMQ blocks on.
 */
export function createConsumers(options: ConsumersOptions) {
  const redis = openRedis(options.redisUrl, 'consumer');
  return {
    /** Starts to take the jobs of a partition. */
    open: (partition: number, process: ProcessJob): Consumer => openConsumer(redis, partition, process, options),
    /** Whether Redis answers now. */
    reachable: (): Promise<boolean> => isReachable(redis),
    /** After all of them have closed. */
    close: (): void => redis.disconnect(),
  };
}

export type Consumers = ReturnType<typeof createConsumers>;

/**
 * Takes the jobs of one partition. Acknowledgement is the return of `process`.
 *
 * A stall of this process or of Redis makes BullMQ hand out a job twice; that is harmless here, since the claim decides,
 * so a job is never failed for it.
 */
function openConsumer(redis: Redis, partition: number, process: ProcessJob, options: ConsumersOptions): Consumer {
  const active = new Set<Promise<void>>();
  const tracked = async (job: JobData, publishedAt: number): Promise<void> => {
    const running = process(job, publishedAt);
    active.add(running);
    await running.finally(() => active.delete(running));
  };
  const worker = new Worker<JobData>(queueName(partition), async (job) => tracked(job.data, job.timestamp), {
    connection: redis,
    prefix: queuePrefix(options.installationId, partition),
    concurrency: options.prefetch,
    lockDuration: options.leaseMs,
    stalledInterval: options.leaseMs,
    maxStalledCount: 1_000_000,
    removeOnComplete: { count: 20 },
    removeOnFail: { count: 20 },
  });
  let cooling: NodeJS.Timeout | null = null;
  worker.on('error', (error) => {
    options.onError(error);
    if (!hotErrors.test(error.message) || cooling !== null) return;
    void worker.pause(true);
    cooling = setTimeout(() => {
      cooling = null;
      void worker.resume();
    }, coolOffMs);
  });
  return {
    async close() {
      if (cooling !== null) clearTimeout(cooling);
      const closed = worker.close();
      // A handler may take as long as it takes. Only then is there a limit: while Redis is away BullMQ waits for ever.
      while (active.size > 0) await Promise.allSettled(active);
      await withDeadline(closeDeadlineMs, 'close', closed).catch(() => worker.close(true).catch(() => undefined));
    },
  };
}
