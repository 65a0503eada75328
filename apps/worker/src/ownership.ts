import type { Statements } from '@bullpen/db';
import type { Consumer, JobData, ProcessJob } from '@bullpen/queue';
import type { Log } from '@bullpen/runtime';

export interface OwnershipDeps {
  statements: Pick<Statements, 'own' | 'retire'>;
  workerId: string;
  leaseMs: number;
  /** Starts to take the jobs of a partition. */
  openConsumer: (partition: number, process: ProcessJob) => Consumer;
  process: (job: JobData, publishedAt: number, closing: () => boolean) => Promise<void>;
  /** A partition is drained and waits for the next renewal to be given back. */
  onDrained: () => void;
  log: Log;
}

interface Open {
  consumer: Consumer;
  /** Set when it is being given up; whoever asks again waits for the same end. */
  closed: Promise<void> | null;
}

/**
 * The partitions of this worker: takes its fair share, gives up what is too much once it is drained, and forgets what
 * others took while it was away.
 */
export function createOwnership(deps: OwnershipDeps) {
  const open = new Map<number, Open>();
  /** Drained, to be given back with the next renewal. */
  const releasing = new Set<number>();
  let renewedAt = performance.now();

  function start(partition: number): void {
    const state: Open = { consumer: null as never, closed: null };
    state.consumer = deps.openConsumer(partition, (job, publishedAt) =>
      deps.process(job, publishedAt, () => state.closed !== null),
    );
    open.set(partition, state);
  }

  async function close(partition: number): Promise<void> {
    const state = open.get(partition);
    if (state === undefined) return;
    state.closed ??= state.consumer.close().then(() => void open.delete(partition));
    await state.closed;
  }

  function drain(partition: number): void {
    void close(partition).then(() => {
      releasing.add(partition);
      deps.onDrained();
    });
  }

  return {
    partitions: (): number[] => [...open.keys()].sort((a, b) => a - b),

    /** Whether its leases are sure to hold still. */
    isFresh: (): boolean => performance.now() - renewedAt < deps.leaseMs * 0.8,

    /** Answers whether it now has what it should have. */
    async renew(): Promise<boolean> {
      const sentAt = performance.now();
      const given = [...releasing];
      const { mine, share } = await deps.statements.own({
        worker: deps.workerId,
        leaseMs: deps.leaseMs,
        releasing: given,
      });
      renewedAt = sentAt;
      for (const partition of given) releasing.delete(partition);
      const owned = new Set(mine.map((each) => each.no));
      for (const partition of open.keys())
        if (!owned.has(partition) && !releasing.has(partition)) void close(partition);
      const taken = [...owned].filter((partition) => !open.has(partition) && !releasing.has(partition));
      for (const partition of taken) start(partition);
      if (taken.length > 0) deps.log.info({ partitions: this.partitions() }, 'owns');
      const kept = [...open].filter(([, state]) => state.closed === null).map(([partition]) => partition);
      for (const partition of kept.sort((a, b) => b - a).slice(0, Math.max(0, kept.length - share))) drain(partition);
      return kept.length === share;
    },

    /** Gives up everything: others take the partitions at once, what is claimed is finished or flushed with its rest. */
    async retire(): Promise<void> {
      await deps.statements.retire(deps.workerId);
      await Promise.all([...open.keys()].map(close));
    },
  };
}

export type Ownership = ReturnType<typeof createOwnership>;
