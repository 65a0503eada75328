import type { Consumer, JobData, ProcessJob } from '@bullpen/queue';

export interface ServingDeps {
  /** Starts to take the jobs of a partition, so many at once. */
  openConsumer: (partition: number, prefetch: number, process: ProcessJob) => Consumer;
  process: (job: JobData, publishedAt: number, closing: () => boolean, onAside: (by: 1 | -1) => void) => Promise<void>;
  /** Some partition takes no more jobs: those of it that wait for a hand can go. */
  onClosing: () => void;
  /** Chunks that this worker holds at once. */
  handsMax: () => number;
  /** The partitions are another's. */
  isHelping: () => boolean;
}

interface Served {
  consumer: Consumer;
  /** Jobs that are here: in hand, or waiting for one. */
  jobs: number;
  /** Of these, those that wait apart for what limits their batch. */
  aside: number;
  /** Set when it is being closed; whoever asks again waits for the same end. */
  closed: Promise<void> | null;
}

/**
 * Jobs of a partition that are here beside its part of the hands: so that a free hand waits for no round trip; and all that may stand
 * in a window, so that a batch that has just come is here, where it goes first (hands.ts), and not behind others in the queue. With
 * helpers only a few: more would keep them from work.
 */
const spare = { alone: 64, helped: 4 };

/** Jobs to take at once from each of so many partitions. */
export const prefetchFor = (handsMax: number, partitions: number, isHelped: boolean): number =>
  Math.ceil(handsMax / Math.max(1, partitions)) + (isHelped ? spare.helped : spare.alone);

/** The partitions whose jobs this worker takes, its own ones and those of an owner that it helps. */
export function createServing(deps: ServingDeps) {
  const served = new Map<number, Served>();
  let isHelped = false;
  const prefetch = (): number => prefetchFor(deps.handsMax(), served.size, isHelped || deps.isHelping());

  return {
    has: (partition: number): boolean => served.has(partition),
    list: (): number[] => [...served.keys()].sort((a, b) => a - b),
    jobsOf: (partition: number): number => served.get(partition)?.jobs ?? 0,

    start(partition: number): void {
      const state: Served = { consumer: null as never, jobs: 0, aside: 0, closed: null };
      served.set(partition, state);
      const onAside = (by: 1 | -1): void => {
        state.aside += by;
        state.consumer.prefetch(prefetch() + state.aside);
      };
      state.consumer = deps.openConsumer(partition, prefetch(), async (job, publishedAt) => {
        state.jobs += 1;
        const process = deps.process(job, publishedAt, () => state.closed !== null, onAside);
        await process.finally(() => (state.jobs -= 1));
      });
    },

    /** Takes no more; resolves when the last of its jobs is over. */
    async close(partition: number): Promise<void> {
      const state = served.get(partition);
      if (state === undefined) return;
      if (state.closed === null) {
        state.closed = state.consumer.close().then(() => void served.delete(partition));
        deps.onClosing();
      }
      await state.closed;
    },

    /** Once there are other partitions, helpers, or more hands. */
    tune(helped: boolean): void {
      isHelped = helped;
      for (const { consumer, aside } of served.values()) consumer.prefetch(prefetch() + aside);
    },
  };
}

export type Serving = ReturnType<typeof createServing>;
