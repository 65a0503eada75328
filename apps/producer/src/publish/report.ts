import type { Marked } from '@bullpen/db';
import type { Log } from '@bullpen/runtime';

interface Published {
  handler: string;
  started: number;
  last: number;
  scheduled: number;
  failed: number;
  already: number;
}

/** A batch that nothing was published of for this long has been published. */
const quietMs = 1000;

/**
 * One log line per published batch, and one each window while a long one is being published: items scheduled, items
 * whose job could not be added (they are tried again), and items that had been scheduled before.
 */
export function createReport(log: Log, facts: { parallelism: number; queueSize: number; windowMs: number }) {
  const open = new Map<string, Published>();

  function write(batchId: string, batch: Published): void {
    const durationMs = Math.max(1, Math.round(batch.last - batch.started));
    const { handler, scheduled, failed, already } = batch;
    const itemsPerSec = Math.round((scheduled / durationMs) * 1000);
    const { parallelism, queueSize } = facts;
    log.info(
      { batchId, handler, scheduled, failed, already, durationMs, itemsPerSec, parallelism, queueSize },
      'published',
    );
  }

  return {
    add(marked: readonly Marked[], failed: ReadonlySet<number>, startedAt: number): void {
      const now = performance.now();
      for (const chunk of marked) {
        let batch = open.get(chunk.batch.id);
        if (batch === undefined) {
          open.set(
            chunk.batch.id,
            (batch = {
              handler: chunk.batch.handler,
              started: startedAt,
              last: now,
              scheduled: 0,
              failed: 0,
              already: 0,
            }),
          );
        }
        batch.last = now;
        if (failed.has(chunk.no)) batch.failed += chunk.size;
        else if (chunk.generation > 1) batch.already += chunk.size;
        else batch.scheduled += chunk.size;
      }
    },
    /** Writes what is due; `all` at the end. */
    flush(all = false): void {
      const now = performance.now();
      for (const [batchId, batch] of open) {
        if (!all && now - batch.last < quietMs && now - batch.started < facts.windowMs) continue;
        write(batchId, batch);
        open.delete(batchId);
      }
    },
  };
}
