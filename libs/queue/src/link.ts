import { withDeadline } from './connection.ts';
import type { Processor, Queue, Worker, WorkerOptions } from 'bullmq';
import type { JobData } from './names.ts';
import { openPostgresLink } from './postgres-link.ts';
import { openRedisLink } from './redis-link.ts';
import type { QueueBackend } from './backend.ts';

/** What a taking side may say; the rest depends on the server. */
type TakeOption = 'autorun' | 'concurrency' | 'lockDuration' | 'maxStalledCount' | 'stalledInterval';

/** A process's way to its queues. BullMQ's classes come ready-made from here: which server it is, nobody else has to know. */
export interface Link {
  kind: QueueBackend['kind'];
  openQueue(partition: number): Queue;
  openWorker(partition: number, process: Processor<JobData>, options: Pick<WorkerOptions, TakeOption>): Worker<JobData>;
  /** Resolves when the server answers. */
  ping(): Promise<unknown>;
  /** Whether BullMQ would try again at once after this error, and so thousands of times a second. */
  isHot(error: Error): boolean;
  /** After all queues and workers have closed. Never rejects, and waits 2 s at most for a server that is away. */
  close(): Promise<void>;
}

export const openLink = (backend: QueueBackend, installationId: string, role: 'producer' | 'consumer'): Link =>
  backend.kind === 'redis' ? openRedisLink(backend.url, installationId, role) : openPostgresLink(backend.url);

/** Whether the server answers now, within a second. */
export const isReachable = (link: Link): Promise<boolean> =>
  withDeadline(1000, 'ping', link.ping()).then(
    () => true,
    () => false,
  );
