import type { Marked } from '@bullpen/db';
import { createQuiet, type Log } from '@bullpen/runtime';

interface Published {
  handler: string;
  started: number;
  last: number;
  scheduled: number;
  failed: number;
  already: number;
  markMs: number;
  addMs: number;
}

/** When a round began, and when its chunks were marked; what follows until now is BullMQ. */
export interface RoundTimes {
  startedAt: number;
  markedAt: number;
}

/** A batch that nothing was published of for this long has been published. */
const quietMs = 1000;
/** Lines within a second: of many small batches the others are counted. */
const linesMax = 10;

/**
 * One log line per published batch, and one each window while a long one is being published: items scheduled, items
 * whose job could not be added (they are tried again), and items that had been scheduled before. `markMs` is its part of
 * the time in PostgreSQL, `addMs` in BullMQ; `unsaid` is the number of batches that had no line.
 */
export function createReport(log: Log, facts: { parallelism: number; queueSize: number; windowMs: number }) {
  const open = new Map<string, Published>();
  const say = createQuiet((line) => log.info(line, 'published'), { most: linesMax });

  function write(batchId: string, batch: Published): void {
    const durationMs = Math.max(1, Math.round(batch.last - batch.started));
    const { handler, scheduled, failed, already } = batch;
    const itemsPerSec = Math.round((scheduled / durationMs) * 1000);
    const [markMs, addMs] = [batch.markMs, batch.addMs].map((ms) => Math.round(ms * 10) / 10);
    const { parallelism, queueSize } = facts;
    const round = { scheduled, failed, already, durationMs, markMs, addMs, itemsPerSec };
    say('published', { batchId, handler, ...round, parallelism, queueSize });
  }

  return {
    add(marked: readonly Marked[], failed: ReadonlySet<number>, { startedAt, markedAt }: RoundTimes): void {
      const now = performance.now();
      const perChunk = { mark: (markedAt - startedAt) / marked.length, add: (now - markedAt) / marked.length };
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
              markMs: 0,
              addMs: 0,
            }),
          );
        }
        batch.last = now;
        batch.markMs += perChunk.mark;
        batch.addMs += perChunk.add;
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
