import { Worker } from 'bullmq';
import { openRedis, withDeadline } from './connection.ts';
import { type JobData, queueName, queuePrefix } from './names.ts';

export interface ConsumerOptions {
  redisUrl: string;
  installationId: string;
  partition: number;
  /** Jobs taken at once; they wait in the process until they are claimed. */
  prefetch: number;
  /** Resolves when the chunk is flushed, or is none of this worker's. Must not reject. */
  process: (job: JobData, publishedAt: number) => Promise<void>;
  onError: (error: unknown) => void;
}

export interface Consumer {
  partition: number;
  /** Takes no more jobs and waits for those it has. */
  close(): Promise<void>;
}

/** Errors under which BullMQ would fetch again at once, 6 000 times a second: full memory, failed save, replica, no login. */
const hotErrors = /^(OOM|MISCONF|READONLY|NOAUTH|NOPERM)/;
const coolOffMs = 1000;

/**
 * Takes the jobs of one partition. Acknowledgement is the return of `process`.
 *
 * A stall of this process or of Redis makes BullMQ hand out a job twice; that is harmless here, since the claim decides,
 * so a job is never failed for it.
 */
export function createConsumer(options: ConsumerOptions): Consumer {
  const redis = openRedis(options.redisUrl, 'consumer');
  const worker = new Worker<JobData>(
    queueName(options.partition),
    async (job) => options.process(job.data, job.timestamp),
    {
      connection: redis,
      prefix: queuePrefix(options.installationId, options.partition),
      concurrency: options.prefetch,
      maxStalledCount: 1_000_000,
      removeOnComplete: { count: 20 },
      removeOnFail: { count: 20 },
    },
  );
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
    partition: options.partition,
    async close() {
      if (cooling !== null) clearTimeout(cooling);
      // While Redis is away BullMQ waits for ever to say good-bye; the jobs it holds are found lost and run elsewhere.
      await withDeadline(5000, 'close', worker.close()).catch(() => worker.close(true).catch(() => undefined));
      redis.disconnect();
    },
  };
}
