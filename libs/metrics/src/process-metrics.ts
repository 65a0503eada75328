import type { Metrics } from './metrics.ts';

export interface ProcessFigures {
  /** See `createLag`. */
  lag: { readonly p99Ms: number };
}

/** What every process says of itself, under the names that Prometheus' clients share where there is one. */
export function addProcessMetrics(metrics: Metrics, { lag }: ProcessFigures): void {
  metrics.gauge({
    name: 'process_resident_memory_bytes',
    help: 'Memory of this process, RSS',
    read: () => process.memoryUsage.rss(),
  });
  metrics.counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of this process, user and system',
    read: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
  });
  metrics.gauge({
    name: 'process_start_time_seconds',
    help: 'When this process started, since 1970',
    read: () => performance.timeOrigin / 1000,
  });
  metrics.gauge({
    name: 'bullpen_event_loop_lag_p99_seconds',
    help: '99 of 100 timers were at most this late, in the last whole METRICS_WINDOW_MS',
    read: () => lag.p99Ms / 1000,
  });
}

export interface PoolFigures {
  pool: { max: number; open: () => number };
  /** Statements on their way or waiting for a connection, and how often one was tried again, by verdict. */
  traffic: { inFlight: number; retries: Readonly<Record<string, number>> };
}

/** The connections of this process to PostgreSQL. A statement beyond their number waits behind another on the same connection. */
export function addPoolMetrics(metrics: Metrics, { pool, traffic }: PoolFigures): void {
  metrics.gauge({
    name: 'bullpen_database_pool_connections',
    help: 'Connections to PostgreSQL: open, in use by a statement, and how many there may be (DATABASE_POOL_MAX)',
    label: 'state',
    read: () => [
      ['open', pool.open()],
      ['in_use', Math.min(pool.max, traffic.inFlight)],
      ['max', pool.max],
    ],
  });
  metrics.gauge({
    name: 'bullpen_database_pool_waiting_statements',
    help: 'Statements that wait for a connection',
    read: () => Math.max(0, traffic.inFlight - pool.max),
  });
  metrics.counter({
    name: 'bullpen_statement_retries_total',
    help: 'Statements that were tried again: after a conflict, a lost connection, a time-out, on a full server',
    label: 'verdict',
    read: () => Object.entries(traffic.retries),
  });
}
