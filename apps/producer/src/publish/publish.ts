import type { Marked, Statements } from '@bullpen/db';
import type { ChunkJob, Publisher } from '@bullpen/queue';
import { crashPoint, errorFacts, type Log, type Settings } from '@bullpen/runtime';
import type { Figures } from './figures.ts';
import type { createReport } from './report.ts';
import { findRoom, type Room } from './room.ts';

export interface PublishDeps {
  statements: Statements;
  publisher: Publisher;
  settings: Pick<Settings, 'leaseMs'>;
  /** Items that may be marked and not yet in BullMQ. */
  queueSize: number;
  report: ReturnType<typeof createReport>;
  figures: Figures;
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
  deps.figures.saw(windows);
  // Nothing is marked while the queues are away: it would only stand there as queued.
  if (batchesRunning === 0 || !isReachable) return nextMs.idle;
  const held = windows.reduce((sum, { queued, running }) => sum + queued + running, 0);
  let next: number = nextMs.busy;
  for (const room of findRoom(windows, newcomers && batchesRunning > 1)) {
    const startedAt = performance.now();
    const marked = await markInto(deps, room, linesWait);
    if (marked.length === 0) continue;
    crashPoint('after-mark');
    if (room.slots.length > held) next = nextMs.low;
    const markedAt = performance.now();
    const failed = await addJobs(deps, marked);
    deps.figures.published(marked, failed, { startedAt, markedAt });
    deps.report.add(marked, failed, { startedAt, markedAt });
    if (failed.size > 0) return nextMs.refused;
    if (marked.length < room.slots.length && hasMore(marked)) next = nextMs.more;
  }
  return next;
}

/**
 * Marks what there is room for. Where lines wait too, each kind gets half of the room and what the other leaves, and chance decides who
 * has the odd place: a line takes one place of its partition for all that it holds, and as many would wait as there is room.
 */
async function markInto({ statements, queueSize }: PublishDeps, room: Room, linesWait: boolean): Promise<Marked[]> {
  const { handlers } = room;
  const marked: Marked[] = [];
  let { spare } = room;
  // A line may be in a partition that has no place in this round: it takes one of another's.
  const free = (): number[] => without(room.slots, marked).slice(0, Math.max(0, room.slots.length - marked.length));

  async function chunks(most: number): Promise<void> {
    const slots = free().slice(0, most);
    if (slots.length + spare.length === 0) return;
    marked.push(...(await statements.mark({ handlers, slots, spare, itemsMax: queueSize })));
    spare = [];
  }
  async function lines(most: number): Promise<void> {
    if (most > 0) marked.push(...(await statements.markLines({ handlers, slots: room.lines, most })));
  }

  if (!linesWait) await chunks(room.slots.length);
  else {
    const [first, second] = Math.random() < 0.5 ? [chunks, lines] : [lines, chunks];
    await first(Math.ceil(room.slots.length / 2));
    await second(free().length);
    await first(free().length);
  }
  return marked;
}

/** A round takes four chunks of each batch, however many batches there are: where one gave as many, there may be more of it. */
const hasMore = (marked: readonly Marked[]): boolean => {
  const chunks = marked.filter(({ keyed }) => !keyed);
  return Math.max(0, ...countBy(chunks, ({ batch }) => batch.no).values()) >= 4;
};

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
