import { addPoolMetrics, addProcessMetrics, createMetrics, type PoolFigures } from '@bullpen/metrics';
import type { Figures, Phase } from './figures.ts';

/** What of a worker is read at each scrape. */
export interface WorkerState {
  figures: Figures;
  /** Chunks claimed, and lines in hand. */
  chunksInHand: () => number;
  partitions: () => readonly number[];
  /** Since its leases were renewed last. */
  renewedAgoMs: () => number;
  itemsPerSecond: () => number;
}

/** The metrics of a worker. What it observes counts from the start, all else from when it has `started`. */
export function createWorkerMetrics() {
  const metrics = createMetrics();
  const phase = metrics.phases(['claim', 'run', 'flush']);
  const settle = metrics.time(
    'bullpen_publish_to_flush_seconds',
    'From the publication of a chunk to its flush; not of chunks in lines',
  );
  return {
    contentType: metrics.contentType,
    text: metrics.text,
    observe: (what: Phase, ms: number): void => (what === 'settle' ? settle(ms) : phase(what, ms)),
    started(worker: WorkerState, pool: PoolFigures): void {
      addProcessMetrics(metrics, worker.figures);
      addPoolMetrics(metrics, pool);
      addTotals(metrics, worker.figures);
      addState(metrics, worker);
    },
  };
}

export type WorkerMetrics = ReturnType<typeof createWorkerMetrics>;

type Metrics = ReturnType<typeof createMetrics>;

function addTotals({ counter }: Metrics, { totals }: Figures): void {
  counter({
    name: 'bullpen_items_total',
    help: 'Items that became final here, by what became of them',
    label: 'outcome',
    read: () => [
      ['succeeded', totals.items - totals.failed],
      ['failed', totals.failed],
    ],
  });
  counter({
    name: 'bullpen_item_retries_total',
    help: 'Items that went back to be tried again',
    read: () => totals.retried,
  });
  counter({ name: 'bullpen_chunks_claimed_total', help: 'Chunks claimed', read: () => totals.claimed });
  counter({
    name: 'bullpen_chunks_flushed_total',
    help: 'Chunks settled, of lines those that are done',
    read: () => totals.flushed,
  });
  counter({
    name: 'bullpen_chunks_fenced_total',
    help: 'Chunks of a flush that another worker had taken over: nothing of them was written',
    read: () => totals.fenced,
  });
}

function addState({ gauge }: Metrics, worker: WorkerState): void {
  gauge({
    name: 'bullpen_items_per_second',
    help: 'Items that became final, between the last two heartbeats',
    read: worker.itemsPerSecond,
  });
  gauge({
    name: 'bullpen_chunks_in_hand',
    help: 'Chunks from claim to flush, and lines in hand',
    read: worker.chunksInHand,
  });
  gauge({
    name: 'bullpen_leases',
    help: 'Partitions that this worker owns',
    read: () => worker.partitions().length,
  });
  gauge({
    name: 'bullpen_lease_renewal_age_seconds',
    help: 'Since the leases were renewed; they end after LEASE_MS',
    read: () => worker.renewedAgoMs() / 1000,
  });
}
