import { errorFacts } from '@bullpen/runtime';
import type { PublishDeps } from './publish.ts';

/** A job that should stand in BullMQ this long is looked for. */
const queuedMs = 2000;
const forgetEveryMs = 60_000;

/**
 * Puts right what went wrong without anybody telling: chunks under a worker that is gone, chunks whose job is lost.
 * `run` each second.
 */
export function createMend(deps: PublishDeps) {
  const { leaseMs } = deps.settings;
  const startedAt = performance.now();
  let awakeSince = startedAt;
  let lastRun = startedAt;
  let forgotAt = startedAt;

  /** A process that was stopped and goes on must not judge others by the time that it slept through. */
  function watchedForALease(): boolean {
    const now = performance.now();
    if (now - lastRun > leaseMs / 2) awakeSince = now;
    lastRun = now;
    return now - awakeSince > leaseMs;
  }

  async function repairGone(): Promise<void> {
    const askedAt = await deps.statements.clock();
    if (!watchedForALease()) return;
    const repaired = await deps.statements.repair({ leaseMs, askedAt });
    if (repaired.length === 0) return;
    deps.figures.repaired(repaired);
    const failed = repaired.filter(({ fate }) => fate === 'failed').length;
    const split = repaired.filter(({ fate }) => fate === 'split').length;
    const facts = { chunks: repaired.length, items: sum(repaired), ...(split && { split }), ...(failed && { failed }) };
    deps.log.warn(facts, 'a worker is gone: its chunks wait again');
  }

  async function repairLost(): Promise<void> {
    const queued = await deps.statements.queued({ ageMs: queuedMs });
    if (queued.length === 0) return;
    try {
      const lost = await deps.statements.lost(await deps.publisher.findLost(queued));
      deps.figures.totals.lost += lost.length;
      if (lost.length > 0)
        deps.log.warn({ chunks: lost.length, items: sum(lost) }, 'jobs are lost: their chunks wait again');
    } catch (error) {
      deps.log.debug(errorFacts(error), 'no answer from the queue is no verdict');
    }
  }

  return async function mendOnce(): Promise<void> {
    await repairGone();
    await repairLost();
    await deps.statements.extend();
    if (performance.now() - forgotAt < forgetEveryMs) return;
    forgotAt = performance.now();
    await deps.statements.forget();
  };
}

const sum = (chunks: readonly { size: number }[]): number => chunks.reduce((items, chunk) => items + chunk.size, 0);
