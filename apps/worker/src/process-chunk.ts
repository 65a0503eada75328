import type { JobData } from '@bullpen/queue';
import type { Claims, Held } from './claims.ts';
import type { Company } from './company.ts';
import type { Figures } from './figures.ts';
import type { Flushes } from './flushes.ts';
import type { Hands } from './hands.ts';
import type { Plans } from './plans.ts';
import { reduceChunk } from './reduce-chunk.ts';
import { runChunk, type RunDeps } from './run-chunk.ts';

export interface ProcessDeps extends RunDeps {
  hands: Hands;
  company: Company;
  claims: Claims;
  plans: Plans;
  flushes: Flushes;
  figures: Figures;
  /** Chunks in hand, by number: a job that comes twice is run once. */
  inHand: Map<number, { batch: number | null }>;
  /** Says of a job that nobody has claimed that its chunk waits again. */
  handBack: (job: JobData) => Promise<void>;
}

let orders = 0;

/**
 * A job from wake-up to acknowledgement: claim → run → reduce → flush; the return is the acknowledgement. `closing` says
 * that the partition is being given up: what is not claimed by then goes back, and what is claimed starts no more items.
 * A suspect is not claimed in company: it is claimed again when nothing else is in hand.
 */
export async function processChunk(
  job: JobData,
  publishedAt: number,
  closing: () => boolean,
  deps: ProcessDeps,
): Promise<void> {
  if (closing() || !(await deps.hands.take(closing))) return await deps.handBack(job);
  const order = (orders += 1);
  const mayStart = (): boolean => deps.mayStart() && !closing();
  const work = (alone: boolean) => async (): Promise<'over' | 'suspect'> => {
    if (closing()) await deps.handBack(job);
    else if (!deps.inHand.has(job.chunk)) return claimAndRun(job, order, alone, publishedAt, { ...deps, mayStart });
    return 'over';
  };
  try {
    if ((await deps.company.join(work(false))) === 'suspect') await deps.company.alone(work(true));
  } finally {
    deps.hands.release();
  }
}

async function claimAndRun(
  job: JobData,
  order: number,
  alone: boolean,
  publishedAt: number,
  deps: ProcessDeps,
): Promise<'over' | 'suspect'> {
  const entry: { batch: number | null } = { batch: null };
  deps.inHand.set(job.chunk, entry);
  let held: Held | 'suspect' | null = null;
  try {
    held = await deps.claims.claim(job.chunk, alone);
    if (held === null) return 'over';
    if (held === 'suspect') return held;
    entry.batch = held.batch;
    deps.hands.saw(held.picks?.length ?? held.size);
    const plan = await deps.plans.open(held.batch, held.no);
    const settled = await runChunk(held, plan, order, deps);
    await deps.flushes.flush(settled, (kept) => reduceChunk(plan, kept));
    deps.figures.settled(Date.now() - publishedAt);
    return 'over';
  } finally {
    deps.inHand.delete(job.chunk);
    if (held !== null && held !== 'suspect') deps.claims.settle(held.claim);
  }
}
