import type { Batch } from '@bullpen/api';

/** Only retry sets it running again. */
export const isOver = ({ state }: Pick<Batch, 'state'>): boolean => state === 'completed' || state === 'cancelled';

/** Items with an outcome, those that a cancel left out included. */
export const doneOf = ({ counts }: Pick<Batch, 'counts'>): number =>
  counts.succeeded + counts.failed + counts.cancelled;

/** From the accept to the last flush: what the client waited for. null while it runs. */
export const tookMs = ({ createdAt, finishedAt }: Batch): number | null =>
  finishedAt === null ? null : Math.max(1, Date.parse(finishedAt) - Date.parse(createdAt));

export const perSecond = (items: number, ms: number): number => (items * 1000) / ms;
