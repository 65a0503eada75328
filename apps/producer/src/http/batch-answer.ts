import { type Batch, optionDefaults, type ProgressEvent } from '@bullpen/api';
import type { BatchRow, NewBatch, ProgressRow } from '@bullpen/db';

/** What `reduce` of its handler made of a batch, or why that cannot be known. */
export type Summary = Pick<Batch, 'summary' | 'summaryError'>;
export const noSummary: Summary = { summary: null, summaryError: null };

/** What moves while a batch runs. The counts sum to `total`, since they come from one snapshot. */
export function toProgress(row: ProgressRow, now: number = Date.now()): ProgressEvent {
  const { state, total, running, succeeded, failed } = row;
  const rest = total - running - succeeded - failed;
  const cancelled = state === 'cancelled';
  const itemsPerSecond = rateOf(row, now);
  return {
    state,
    counts: { total, pending: cancelled ? 0 : rest, running, succeeded, failed, cancelled: cancelled ? rest : 0 },
    itemsPerSecond,
    etaSeconds:
      state === 'running' && itemsPerSecond !== null && itemsPerSecond > 0
        ? round((rest + running) / itemsPerSecond)
        : null,
  };
}

/** A row as the API shows it. */
export function toBatch(row: BatchRow, summary: Summary = noSummary): Batch {
  const { state, counts, itemsPerSecond, etaSeconds } = toProgress(row);
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    handler: row.handler,
    state,
    stateReason: row.reason,
    sealed: row.sealed,
    counts,
    params: row.params,
    // A batch that was stored before an option came runs with its default.
    options: { ...optionDefaults, ...(row.options as Batch['options']) },
    createdAt: row.createdAt.toISOString(),
    startedAt: row.startedAt?.toISOString() ?? null,
    finishedAt: row.finishedAt?.toISOString() ?? null,
    webhook: row.webhook,
    itemsPerSecond,
    etaSeconds,
    ...summary,
  };
}

/** Over the whole run. A batch that ended within a millisecond ran for one. */
function rateOf(row: ProgressRow, now: number): number | null {
  if (row.startedAt === null) return null;
  const ms = Math.max(1, (row.finishedAt?.getTime() ?? now) - row.startedAt.getTime());
  return round(((row.succeeded + row.failed) * 1000) / ms);
}

/** Three digits after the point are more than anybody reads. */
const round = (value: number): number => Math.round(value * 1000) / 1000;

/** A batch that was stored a moment ago and cannot be read back now. */
export const freshBatch = (batch: NewBatch): Batch =>
  toBatch({
    no: 0,
    id: batch.id,
    owner: batch.owner ?? '',
    kind: 'batch',
    name: batch.name,
    handler: batch.handler,
    state: 'running',
    reason: null,
    sealed: true,
    total: batch.total,
    succeeded: 0,
    failed: 0,
    running: 0,
    params: batch.params === null ? null : JSON.parse(batch.params),
    options: JSON.parse(batch.options),
    createdAt: new Date(),
    startedAt: null,
    finishedAt: null,
    webhook: batch.webhook ? { url: batch.webhook.url, ...untold } : null,
  });

/** A webhook of which nothing was sent. */
const untold = { state: 'waiting', attempts: 0, lastStatus: null, lastError: null } as const;
