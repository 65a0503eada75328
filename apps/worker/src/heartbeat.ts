import type { NewWorker, Statements, WorkerFacts } from '@bullpen/db';
import type { Log } from '@bullpen/runtime';
import type { Claims } from './claims.ts';
import type { Plans } from './plans.ts';

export interface HeartbeatDeps {
  statements: Pick<Statements, 'heartbeat' | 'register'>;
  worker: Omit<NewWorker, 'facts'>;
  leaseMs: number;
  claims: Claims;
  plans: Plans;
  inHand: ReadonlyMap<number, { batch: number | null }>;
  /** Batches of the lines in hand. */
  lineBatches: () => readonly number[];
  facts: () => WorkerFacts;
  log: Log;
}

/** Beats of which the quickest tells the distance. */
const timesKept = 10;

/**
 * Renews this worker's row, frees orphans and stops batches that do not run any more. A worker that could not renew for
 * 0.8 of its lease starts nothing: others may already have its chunks.
 *
 * A heartbeat proves that the main loop lives. Only while that is in a synchronous call of a handler, which may take
 * `timeoutMs`, the watchdog renews in its place (watchdog/thread.ts).
 */
export function createHeartbeat(deps: HeartbeatDeps) {
  let renewedAt = performance.now();
  const times: number[] = [];

  return {
    async beat(): Promise<void> {
      const sentAt = performance.now();
      const batches = new Set<number>(deps.lineBatches());
      for (const { batch } of deps.inHand.values()) if (batch !== null) batches.add(batch);
      const { orphans, stopped, known } = await deps.statements.heartbeat({
        worker: deps.worker.id,
        claims: deps.claims.live(),
        batches: [...batches],
        facts: deps.facts(),
        orphanMs: deps.leaseMs / 2,
      });
      times.push(performance.now() - sentAt);
      if (times.length > timesKept) times.shift();
      if (!known) await deps.statements.register({ ...deps.worker, facts: deps.facts() });
      renewedAt = sentAt;
      if (orphans.length > 0)
        deps.log.warn({ chunks: orphans.length }, 'claims whose reply was lost: their chunks wait again');
      for (const { no, state } of stopped) deps.plans.stop(no, state);
    },
    /** Least time of a beat of late, in ms: the way to the database and back. */
    leastMs: (): number | null => (times.length === 0 ? null : Math.min(...times)),
    isFresh: (): boolean => performance.now() - renewedAt < deps.leaseMs * 0.8,
  };
}
