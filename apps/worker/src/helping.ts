import type { Help, Owned, Statements } from '@bullpen/db';
import type { Log } from '@bullpen/runtime';

export interface HelpingDeps {
  statements: Pick<Statements, 'help'>;
  workerId: string;
  leaseMs: number;
  log: Log;
}

/** A worker that has just started, or is about to get a partition, need not help meanwhile. */
const afterMs = 1000;
const everyMs = 1000;

/**
 * What a worker does that owns nothing, such as the 13th of 12 partitions: it serves the partitions of an owner too,
 * where its claims are as good as the owner's, or says why it is idle.
 */
export function createHelping(deps: HelpingDeps) {
  let nothingSince: number | null = null;
  let lookedAt = -Infinity;
  let helped: Help['owner'] = null;
  let idle: string | null = null;

  async function look(owned: Owned): Promise<void> {
    const found = await deps.statements.help({ worker: deps.workerId, leaseMs: deps.leaseMs });
    if (found.owner !== null && found.owner.id !== helped?.id)
      deps.log.info({ helps: found.owner.name, partitions: found.owner.partitions }, 'owns no partition, so it helps');
    helped = found.owner;
    const reason = helped !== null || owned.mine.length > 0 ? null : idleReason(owned, found);
    if (reason !== null && reason !== idle) deps.log.info({ reason }, 'idle');
    idle = reason;
  }

  return {
    /** Why this worker has nothing to do with any partition; null: it has. */
    idle: (): string | null => idle,

    /** With each renewal. Answers the partitions to serve beside their owner. */
    async renew(owned: Owned): Promise<readonly number[]> {
      const now = performance.now();
      nothingSince = owned.mine.length > 0 ? null : (nothingSince ?? now);
      const mayHelp = nothingSince !== null && now - nothingSince >= afterMs && now - lookedAt >= everyMs;
      // Who has got a partition says so at once: the publisher would count it twice.
      const mustStop = nothingSince === null && (helped !== null || idle !== null);
      if (mayHelp || mustStop) {
        await look(owned);
        lookedAt = now;
      }
      return helped?.partitions ?? [];
    },
  };
}

export type Helping = ReturnType<typeof createHelping>;

/** In words for people, who read it in the log and in `GET /v1/workers`. */
export function idleReason({ reserved }: Pick<Owned, 'reserved'>, { owners, missing }: Omit<Help, 'owner'>): string {
  if (owners > 0)
    return `the workers that own partitions have handlers that this one does not know: ${missing.join(', ')}`;
  return reserved > 0
    ? `all partitions are kept for pinned workers that were here a moment ago: ${reserved}`
    : 'nobody owns a partition that it could serve';
}
