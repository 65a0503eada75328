import { withDeadline } from './connection.ts';
import { isReachable, type Link, openLink } from './link.ts';
import type { JobData } from './names.ts';
import type { QueueBackend } from './backend.ts';

export interface ConsumersOptions {
  backend: QueueBackend;
  installationId: string;
  /**
   * A job that is active under nobody comes back within three of these: the server handed it out, but the reply was lost, or
   * its worker is gone.
   */
  leaseMs: number;
  onError: (error: unknown) => void;
}

/** Resolves when the chunk is flushed, or is none of this worker's. Must not reject. */
export type ProcessJob = (job: JobData, publishedAt: number) => Promise<void>;

export interface Consumer {
  /** How many jobs it takes at once from now on; those that are not claimed yet wait in the process. Two at least. */
  prefetch(jobs: number): void;
  /** Takes no more jobs and waits for those it has. */
  close(): Promise<void>;
}

const coolOffMs = 1000;
const closeDeadlineMs = 2000;

/** The side that takes jobs. */
export function createConsumers(options: ConsumersOptions) {
  const link = openLink(options.backend, options.installationId, 'consumer');
  return {
    /** Starts to take the jobs of a partition, `prefetch` at once. */
    open: (partition: number, prefetch: number, process: ProcessJob): Consumer =>
      openConsumer(link, partition, prefetch, process, options),
    /** Whether the queues answer now. */
    reachable: (): Promise<boolean> => isReachable(link),
    /** After all of them have closed. */
    close: (): Promise<void> => link.close(),
  };
}

export type Consumers = ReturnType<typeof createConsumers>;

/**
 * Takes the jobs of one partition. Acknowledgement is the return of `process`.
 *
 * A stall of this process or of the server makes BullMQ hand out a job twice; that is harmless here, since the claim decides,
 * so a job is never failed for it.
 */
function openConsumer(
  link: Link,
  partition: number,
  prefetch: number,
  process: ProcessJob,
  options: ConsumersOptions,
): Consumer {
  const active = new Set<Promise<void>>();
  const tracked = async (job: JobData, publishedAt: number): Promise<void> => {
    const running = process(job, publishedAt);
    active.add(running);
    await running.finally(() => active.delete(running));
  };
  const worker = link.openWorker(partition, async (job) => tracked(job.data, job.timestamp), {
    concurrency: prefetch,
    lockDuration: options.leaseMs,
    stalledInterval: options.leaseMs,
    maxStalledCount: 1_000_000,
  });
  let cooling: NodeJS.Timeout | null = null;
  worker.on('error', (error) => {
    options.onError(error);
    if (!link.isHot(error) || cooling !== null) return;
    void worker.pause(true);
    cooling = setTimeout(() => {
      cooling = null;
      void worker.resume();
    }, coolOffMs);
  });
  return {
    prefetch(jobs) {
      worker.concurrency = Math.max(2, jobs);
    },
    async close() {
      if (cooling !== null) clearTimeout(cooling);
      const closed = worker.close();
      // A handler may take as long as it takes. Only then is there a limit: while the server is away BullMQ waits for ever, also
      // after it is back (its blocking connection never says that it has ended), and a second close is the first one.
      while (active.size > 0) await Promise.allSettled(active);
      await withDeadline(closeDeadlineMs, 'close', closed).catch(options.onError);
    },
  };
}
