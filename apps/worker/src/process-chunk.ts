import type { Settled } from '@bullpen/db';
import type { JobData } from '@bullpen/queue';
import type { Claims, Held } from './claims.ts';
import { indexOfOutput } from './fail-outputs.ts';
import type { Figures } from './figures.ts';
import type { Flushes } from './flushes.ts';
import type { Hands } from './hands.ts';
import type { Isolation } from './isolation/isolation.ts';
import type { Limits } from './limits/limits.ts';
import { isLineJob, type Lines } from './lines/lines.ts';
import type { Plans } from './plans.ts';
import { reduceChunk } from './reduce-chunk.ts';
import type { RunDeps } from './run.ts';
import { runChunk } from './run-chunk.ts';
import { runInThread, type ThreadDeps } from './threads/run-in-thread.ts';
import { together } from './watchdog/marks.ts';

export interface ClaimDeps extends RunDeps, Pick<ThreadDeps, 'threads'> {
  hands: Hands;
  limits: Limits;
  claims: Claims;
  plans: Plans;
  flushes: Flushes;
  figures: Figures;
  /** Chunks in hand, by number: a job that comes twice is run once. */
  inHand: Map<number, { batch: number | null }>;
}

export interface ProcessDeps extends ClaimDeps {
  lines: Lines;
  isolation: Isolation;
  /** Says of a job that nobody has claimed that its chunk waits again. */
  handBack: (job: JobData) => Promise<void>;
  /** The same of the line of a partition that another owns. */
  pass: (job: JobData) => Promise<void>;
  isOwner: (partition: number) => boolean;
}

/** Of jobs from a version that does not say their tag. */
let orders = 0;

/**
 * A job from wake-up to acknowledgement: claim → run → reduce → flush; the return is the acknowledgement. `closing` says
 * that the partition is being given up: what is not claimed by then goes back, and what is claimed starts no more items.
 * A suspect is not claimed here but in a process where it is alone. The job of a keyed batch is the turn of its line (lines/), and the
 * owner's alone: a helper, whose hands may be full for minutes, lets it wait for none.
 */
export async function processChunk(
  job: JobData,
  publishedAt: number,
  closing: () => boolean,
  deps: ProcessDeps,
  onAside: (by: 1 | -1) => void = () => undefined,
): Promise<void> {
  const { chunk, batchNo = null, tag } = job;
  const order = tag ?? (orders += 1);
  const hand = { tag: order, batch: batchNo ?? 0 };
  if (isLineJob(job) && !deps.isOwner(job.line)) return await deps.pass(job);
  if (closing() || !(await deps.hands.take(closing, hand))) return await deps.handBack(job);
  let fate: Fate | 'back' = 'back';
  let isAside = false;
  const stepAside = (): boolean => {
    isAside = deps.hands.stepAside(hand.batch);
    if (isAside) onAside(1);
    return isAside;
  };
  try {
    const mayStart = (): boolean => deps.mayStart() && !closing();
    if (isLineJob(job)) fate = await deps.lines.run(job, order, closing, stepAside);
    else if (deps.inHand.has(chunk)) fate = 'over';
    else if (!closing())
      fate = await claimAndRun({ chunk, batchNo, publishedAt, order, alone: false }, { ...deps, mayStart, stepAside });
  } finally {
    deps.hands.release(hand.batch, isAside);
    if (isAside) onAside(-1);
  }
  if (fate === 'suspect') fate = await deps.isolation.run(chunk, publishedAt, closing);
  if (fate === 'back') await deps.handBack(job);
}

type Fate = 'over' | 'suspect';

export interface Claiming {
  chunk: number;
  /** Of its batch, where it is known. */
  batchNo: number | null;
  publishedAt: number;
  /** Lower ones go first. */
  order: number;
  /** Nothing else is in the hands of this worker id, so that it may have a suspect. */
  alone: boolean;
}

/** `suspect`: it was left where it was. */
export async function claimAndRun(
  { chunk, batchNo, publishedAt, order, alone }: Claiming,
  deps: ClaimDeps,
): Promise<Fate> {
  const entry: { batch: number | null } = { batch: null };
  deps.inHand.set(chunk, entry);
  let held: Held | 'suspect' | null = null;
  try {
    // Beside the claim, which takes as long.
    const known = batchNo === null ? null : deps.limits.freshen(batchNo);
    // Thrown below, where there is a chunk; while nobody waits for it, or where nothing was to be had, it ends no process.
    known?.catch(() => undefined);
    held = await deps.claims.claim(chunk, batchNo, alone);
    if (held === null) return 'over';
    if (held === 'suspect') return held;
    entry.batch = held.batch;
    const plan = await deps.plans.open(held.batch, held.no);
    // It was deleted since, and the chunk with it.
    if (plan === null) return 'over';
    await (known ?? (batchNo === null ? deps.limits.freshen(held.batch) : null));
    const isAside = plan.handler.threads !== undefined && plan.broken === null;
    const startedAt = performance.now();
    const settled = await (isAside ? runInThread : runChunk)(held, plan, order, deps);
    deps.figures.ran(performance.now() - startedAt);
    deps.hands.saw(held.picks?.length ?? held.size, bytesOf(held) + settled.outputs.length);
    const reduce = (kept: Settled): Settled => {
      deps.marks.enter(chunk, kept.succeeded === 1 ? indexOfOutput(kept, 0) : together, plan.timeoutMs);
      const reduced = reduceChunk(plan, kept);
      deps.marks.leave();
      return reduced;
    };
    await deps.flushes.flush(settled, reduce, order, held.attempt);
    deps.figures.settled(Date.now() - publishedAt);
    return 'over';
  } finally {
    deps.inHand.delete(chunk);
    if (held !== null && held !== 'suspect') deps.claims.settle(held.claim);
  }
}

const bytesOf = ({ inputs }: Held): number => inputs.reduce((sum, { items }) => sum + items.length, 0);
