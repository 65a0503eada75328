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
