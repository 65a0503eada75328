import { setTimeout as sleep } from 'node:timers/promises';
import type { Statements } from '@bullpen/db';
import type { JobData } from '@bullpen/queue';

/** Says of jobs that nobody has claimed that their chunks wait again: those of one turn, a whole drain, in one statement. */
export function createHandBacks(lost: Statements['lost']) {
  let jobs: JobData[] = [];
  let sent: Promise<unknown> | null = null;

  const send = async (): Promise<void> => {
    await new Promise(setImmediate);
    const batch = jobs;
    jobs = [];
    sent = null;
    await lost(batch.map((job) => ({ no: job.chunk, generation: job.generation })));
  };

  /** Resolves when it is stored. */
  return async function handBack(job: JobData): Promise<void> {
    jobs.push(job);
    await (sent ??= send());
  };
}

/** A job that is passed on is published again in the next round: so often at most. */
const passEveryMs = 5;

/**
 * Passes on jobs that are another's to take: the lines of an owner that this worker helps. One goes back at once, and where the owner
 * has no room, so that all of its lines come by here again and again, one after the other.
 */
export function createPassing(handBack: (job: JobData) => Promise<void>) {
  let lastAt = -Infinity;

  return async function pass(job: JobData): Promise<void> {
    const now = performance.now();
    lastAt = Math.max(now, lastAt + passEveryMs);
    if (lastAt > now) await sleep(lastAt - now);
    await handBack(job);
  };
}
