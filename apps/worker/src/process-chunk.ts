import type { JobData } from '@bullpen/queue';
import type { Claims, Held } from './claims.ts';
import type { Figures } from './figures.ts';
import type { Flushes } from './flushes.ts';
import type { Hands } from './hands.ts';
import type { Plans } from './plans.ts';
import { reduceChunk } from './reduce-chunk.ts';
import { runChunk, type RunDeps } from './run-chunk.ts';

export interface ProcessDeps extends RunDeps {
  hands: Hands;
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
  let held: Held | null = null;
  try {
    if (closing()) return await deps.handBack(job);
    if (deps.inHand.has(job.chunk)) return;
    const entry: { batch: number | null } = { batch: null };
    deps.inHand.set(job.chunk, entry);
    try {
      held = await deps.claims.claim(job.chunk);
      if (held === null) return;
      entry.batch = held.batch;
      deps.hands.saw(held.picks?.length ?? held.size);
      const plan = await deps.plans.open(held.batch);
      const settled = await runChunk(held, plan, order, { ...deps, mayStart });
      await deps.flushes.flush(settled, (kept) => reduceChunk(plan, kept));
      deps.figures.settled(Date.now() - publishedAt);
    } finally {
      deps.inHand.delete(job.chunk);
    }
  } finally {
    if (held !== null) deps.claims.settle(held.claim);
    deps.hands.release();
  }
}
