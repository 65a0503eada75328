import {
  addPoolMetrics,
  addProcessMetrics,
  type Metrics,
  type PoolFigures,
  type ProcessFigures,
} from '@bullpen/metrics';
import type { Figures } from '../publish/figures.ts';
import type { Census } from './census.ts';

export interface MetricsDeps extends PoolFigures, ProcessFigures {
  figures: Figures;
  census: Census;
  leaseMs: number;
}

/** The metrics of a producer. What it says of the cluster each producer says: of several take the largest, not the sum. */
export function addProducerMetrics(metrics: Metrics, deps: MetricsDeps): void {
  metrics.prepare(() => deps.census.read());
  addProcessMetrics(metrics, deps);
  addPoolMetrics(metrics, deps);
  addTotals(metrics, deps.figures);
  addPartitions(metrics, deps);
  addCensus(metrics, deps.census);
}

function addTotals({ counter }: Metrics, { totals }: Figures): void {
  counter({
    name: 'bullpen_items_accepted_total',
    help: 'Items stored by this producer; a single item that is sent again under its key counts again',
    read: () => totals.accepted,
  });
  counter({
    name: 'bullpen_items_total',
    help: 'Items that became final here: of workers that an item has killed, and lines that were skipped',
    label: 'outcome',
    read: () => [['failed', totals.failed]],
  });
  counter({
    name: 'bullpen_jobs_published_total',
    help: 'Jobs of chunks and lines: added, added again for a chunk that had one, not added',
    label: 'outcome',
    read: () => [
      ['added', totals.added],
      ['again', totals.again],
      ['refused', totals.refused],
    ],
  });
  counter({
    name: 'bullpen_chunks_repaired_total',
    help: 'Chunks that wait again: their worker is gone, or their job was lost',
    label: 'cause',
    read: () => [
      ['worker', totals.orphaned],
      ['job', totals.lost],
    ],
  });
}

function addPartitions({ gauge }: Metrics, { figures, leaseMs }: MetricsDeps): void {
  const each = (name: string, help: string, value: (window: ReturnType<Figures['windows']>[number]) => number): void =>
    gauge({
      name,
      help,
      label: 'partition',
      read: () => figures.windows().map((window) => [String(window.partition), value(window)]),
    });
  each('bullpen_partition_queued_chunks', 'Backlog: chunks of a partition in BullMQ', ({ queued }) => queued);
  each('bullpen_partition_running_chunks', 'Chunks of a partition in the hands of workers', ({ running }) => running);
  each(
    'bullpen_partition_window_chunks',
    'Chunks that should be queued and running: what its owner asks for, over its partitions',
    ({ window }) => window,
  );
  each(
    'bullpen_partition_oldest_seconds',
    'How long the oldest queued chunk has been there',
    ({ oldestMs }) => Math.max(0, oldestMs ?? 0) / 1000,
  );
  each(
    'bullpen_partition_unowned_seconds',
    'How long nobody has had a lease on the partition; 0: somebody has',
    ({ unownedMs }) => unownedMs / 1000,
  );
  gauge({
    name: 'bullpen_partitions_unowned',
    help: 'Partitions without an owner',
    read: () => figures.windows().filter(({ unownedMs }) => unownedMs > 0).length,
  });
  gauge({
    name: 'bullpen_windows_age_seconds',
    help: 'How long ago the partitions were read; more than a second or two: publishing stands',
    read: () => figures.windowsAgeMs() / 1000,
  });
  gauge({ name: 'bullpen_lease_seconds', help: 'LEASE_MS', read: () => leaseMs / 1000 });
}

function addCensus({ gauge }: Metrics, census: Census): void {
  gauge({
    name: 'bullpen_database_up',
    help: '1 when the database answered this scrape, else 0',
    read: () => (census.standing() === null ? 0 : 1),
  });
  gauge({
    name: 'bullpen_backlog_items',
    help: 'Items of running batches that are not final and whose time has come',
    read: () => census.standing()?.backlog ?? null,
  });
  gauge({
    name: 'bullpen_batches',
    help: 'Batches by state; counted less often where there are many',
    label: 'state',
    read: () => census.batches(),
  });
  gauge({
    name: 'bullpen_database_server_connections',
    help: 'Connections of the whole server, whoever has them',
    read: () => census.standing()?.connections ?? null,
  });
  gauge({
    name: 'bullpen_database_server_max_connections',
    help: 'max_connections of the server',
    read: () => census.standing()?.connectionsMax ?? null,
  });
}
