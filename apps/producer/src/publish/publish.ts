import type { Marked, Statements } from '@bullpen/db';
import type { ChunkJob, Publisher } from '@bullpen/queue';
import { errorFacts, type Log, type Settings } from '@bullpen/runtime';
import type { createReport } from './report.ts';
import { findRoom } from './room.ts';

export interface PublishDeps {
  statements: Statements;
  publisher: Publisher;
  settings: Pick<Settings, 'leaseMs'>;
  /** Items that may be marked and not yet in BullMQ. */
  queueSize: number;
  report: ReturnType<typeof createReport>;
  log: Log;
}

/**
 * How soon the next round is worth it: there is more, half of what workers should have was gone, less than that, nothing
 * runs, or the queues take no jobs. A round costs 2 ms of CPU, so that 50 a second were a tenth of what a busy worker takes.
 */
const nextMs = { more: 0, low: 20, busy: 60, idle: 250, refused: 1000 } as const;

/**
 * One round of publishing, level-triggered: compares what PostgreSQL holds with what stands in BullMQ and tops up.
 * Start, recovery, loss of the queues, resume, retry and rebalancing are all this. Answers after how many ms to look again.
 */
export async function publishOnce(deps: PublishDeps): Promise<number> {
  const { leaseMs } = deps.settings;
  const [{ windows, batchesRunning, linesWait, newcomers }, isReachable] = await Promise.all([
    deps.statements.windows({ leaseMs }),
    deps.publisher.reachable(),
    deps.statements.due(),
  ]);
  // Nothing is marked while the queues are away: it would only stand there as queued.
  if (batchesRunning === 0 || !isReachable) return nextMs.idle;
  const held = windows.reduce((sum, { queued, running }) => sum + queued + running, 0);
  let next: number = nextMs.busy;
  for (const room of findRoom(windows, newcomers && batchesRunning > 1)) {
    const startedAt = performance.now();
    // Lines first: each has room in its own partition alone, and takes one place of it for all that it holds.
    const lines = linesWait ? await deps.statements.markLines({ handlers: room.handlers, slots: room.lines }) : [];
    const slots = without(room.slots, lines);
    const chunks =
      slots.length + room.spare.length === 0
        ? []
        : await deps.statements.mark({ handlers: room.handlers, slots, spare: room.spare, itemsMax: deps.queueSize });
    const marked = [...lines, ...chunks];
    if (marked.length === 0) continue;
    if (room.slots.length > held) next = nextMs.low;
    const markedAt = performance.now();
    const failed = await addJobs(deps, marked);
    deps.report.add(marked, failed, { startedAt, markedAt });
    if (failed.size > 0) return nextMs.refused;
    if (chunks.length < slots.length && hasMore(chunks)) next = nextMs.more;
  }
  return next;
}

/** A round takes four chunks of each batch, however many batches there are: where one gave as many, there may be more of it. */
const hasMore = (chunks: readonly Marked[]): boolean =>
  Math.max(0, ...countBy(chunks, ({ batch }) => batch.no).values()) >= 4;

/** The places that these chunks leave. */
function without(slots: readonly number[], marked: readonly Marked[]): number[] {
  const taken = countBy(marked, ({ partition }) => partition);
  return slots.filter((partition) => {
    const left = taken.get(partition) ?? 0;
    taken.set(partition, left - 1);
    return left <= 0;
  });
}

function countBy(chunks: readonly Marked[], key: (chunk: Marked) => number): Map<number, number> {
  const counts = new Map<number, number>();
  for (const chunk of chunks) counts.set(key(chunk), (counts.get(key(chunk)) ?? 0) + 1);
  return counts;
}

/** Adds the jobs; chunks whose job could not be added wait again. Answers their numbers. */
async function addJobs(deps: PublishDeps, marked: readonly Marked[]): Promise<Set<number>> {
  const jobs = marked.map((chunk): ChunkJob => ({
    chunk: chunk.no,
    generation: chunk.generation,
    partition: chunk.partition,
    handler: chunk.batch.handler,
    batch: chunk.batch.id,
    batchNo: chunk.batch.no,
    items: chunk.size,
    tag: Math.round(chunk.tag),
    ahead: chunk.ahead,
    keyed: chunk.keyed,
  }));
  const { failed, error } = await deps.publisher.publish(jobs);
  if (failed.length > 0) {
    deps.log.warn({ ...errorFacts(error), jobs: failed.length }, 'jobs could not be added: their chunks wait again');
    await deps.statements.lost(failed.map((job) => ({ no: job.chunk, generation: job.generation })));
  }
  return new Set(failed.map((job) => job.chunk));
}
