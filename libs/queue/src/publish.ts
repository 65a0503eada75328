import type { Queue } from 'bullmq';
import { withDeadline } from './connection.ts';
import { isReachable, type Link, openLink } from './link.ts';
import { type JobData, jobId } from './names.ts';
import { type QueueBackend, backendName } from './backend.ts';

/** A chunk that was marked: what its job says. */
export interface ChunkJob {
  chunk: number;
  generation: number;
  partition: number;
  handler: string;
  batch: string;
  batchNo: number;
  items: number;
  tag?: number;
  /** It goes before those that wait already. */
  ahead?: boolean;
  /** It stands for its line, in this partition. */
  keyed?: boolean | undefined;
}

export interface PublisherOptions {
  backend: QueueBackend;
  installationId: string;
  partitions: number;
  /** addBulk calls at once. */
  parallelism: number;
  /** Jobs of one addBulk call. */
  jobsPerCall: number;
  /** Called after each addBulk call. */
  onAdded?: () => void;
}

/** addBulk of 1 000 jobs takes about 45 ms; a server that needs longer than this is away. */
const addDeadlineMs = 5000;
const reopenMs = 500;
/** Job states in which a job will still run. With kept completed jobs, that the key exists says nothing. */
const alive = new Set(['waiting', 'active', 'prioritized', 'delayed', 'waiting-children', 'paused']);

const dataOf = ({ chunk, generation, batch, batchNo, items, tag, keyed, partition }: ChunkJob): JobData => ({
  chunk,
  generation,
  batch,
  batchNo,
  items,
  ...(tag !== undefined && { tag }),
  ...(keyed && { line: partition }),
});

export type Publisher = ReturnType<typeof createPublisher>;

/** The queues of all partitions, from the side that adds. */
export function createPublisher(options: PublisherOptions) {
  const link = openLink(options.backend, options.installationId, 'producer');
  const queues: Queue[] = [];
  let closed = false;

  /** BullMQ keeps for good that an answer was lost while it opened a queue, which then takes no job any more: another takes its place. */
  function open(partition: number): void {
    if (closed) return;
    const queue = openQueue(link, partition);
    queues[partition] = queue;
    if (link.kind !== 'redis') return;
    queue.waitUntilReady().catch(() => {
      queue.close().catch(() => undefined);
      setTimeout(open, reopenMs, partition).unref();
    });
  }
  for (let partition = 0; partition < options.partitions; partition += 1) open(partition);

  async function addSlice(partition: number, jobs: readonly ChunkJob[]): Promise<void> {
    const bulk = jobs.map((job) => ({
      name: job.handler,
      data: dataOf(job),
      opts: { jobId: jobId(job.chunk, job.generation), ...(job.ahead && { lifo: true }) },
    }));
    await withDeadline(addDeadlineMs, 'addBulk', queues[partition]!.addBulk(bulk));
    options.onAdded?.();
  }

  return {
    queues: queues as readonly Queue[],
    /** Where the queues are kept, as people call it. */
    backendName: backendName[link.kind],

    /** Whether the server answers now: asked before anything is marked. */
    reachable: (): Promise<boolean> => isReachable(link),

    /**
     * Adds a job for each chunk, partition by partition in slices, in parallel. Answers those of the slices that failed;
     * some of them may be in the queue all the same (addBulk is a pipeline, not atomic), where the claim refuses them.
     */
    async publish(jobs: readonly ChunkJob[]): Promise<{ failed: ChunkJob[]; error: unknown }> {
      const failed: ChunkJob[] = [];
      let firstError: unknown = null;
      const slices = cutSlices(jobs, options.jobsPerCall);
      await inParallel(options.parallelism, slices, async ({ partition, jobs }) => {
        try {
          await addSlice(partition, jobs);
        } catch (error) {
          firstError ??= error;
          failed.push(...jobs);
        }
      });
      return { failed, error: firstError };
    },

    /**
     * Of these jobs, those that will not run: BullMQ does not hold them any more, they are `active` under a worker
     * that has lost the partition (`orphaned`; BullMQ itself would notice after three leases), or they wait where nobody
     * takes them (`ownerless`). Throws when the server gives no answer, which is no verdict.
     */
    async findLost<
      Job extends { no: number; generation: number; partition: number; orphaned: boolean; ownerless?: boolean },
    >(jobs: readonly Job[]): Promise<Job[]> {
      const lost: Job[] = [];
      await inParallel(32, jobs, async (job) => {
        const state = await withDeadline(
          addDeadlineMs,
          'getState',
          queues[job.partition]!.getJobState(jobId(job.no, job.generation)),
        );
        if (!alive.has(state) || job.ownerless || (state === 'active' && job.orphaned)) lost.push(job);
      });
      return lost;
    },

    async close(): Promise<void> {
      closed = true;
      await Promise.allSettled(queues.map((queue) => withDeadline(2000, 'close', queue.close())));
      await link.close();
    },
  };
}

function openQueue(link: Link, partition: number): Queue {
  const queue = link.openQueue(partition);
  queue.on('error', () => undefined);
  return queue;
}

/** Jobs by partition, at most `size` together. */
function cutSlices(jobs: readonly ChunkJob[], size: number): { partition: number; jobs: ChunkJob[] }[] {
  const slices: { partition: number; jobs: ChunkJob[] }[] = [];
  const open = new Map<number, ChunkJob[]>();
  for (const job of jobs) {
    let slice = open.get(job.partition);
    if (slice === undefined || slice.length >= size) {
      slice = [];
      open.set(job.partition, slice);
      slices.push({ partition: job.partition, jobs: slice });
    }
    slice.push(job);
  }
  return slices;
}

async function inParallel<Item>(
  limit: number,
  items: readonly Item[],
  run: (item: Item) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const item = items[next]!;
      next += 1;
      await run(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
}
