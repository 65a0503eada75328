import type { Owned, Statements } from '@bullpen/db';
import type { Log } from '@bullpen/runtime';
import type { Helping } from './helping.ts';
import { createPinWatch } from './pin-watch.ts';
import type { Serving } from './serving.ts';

export interface OwnershipDeps {
  statements: Pick<Statements, 'own' | 'retire'>;
  workerId: string;
  leaseMs: number;
  serving: Serving;
  helping: Helping;
  /** A partition is drained and waits for the next renewal to be given back. */
  onDrained: () => void;
  log: Log;
}

/** A worker that waits for a partition looks this often, for as long as something has changed a moment ago. */
const waitingMs = 100;
const settleMs = 5000;
/** Renewals otherwise: the others notice within this time that their share has grown. */
const renewMs = 500;

/**
 * The partitions of this worker: takes those pinned to it and its fair share of the others, gives up what is pinned to
 * others and what is too much once it is drained, and forgets what others took while it was away.
 */
export function createOwnership(deps: OwnershipDeps) {
  const { serving, log } = deps;
  const kept = new Set<number>();
  /** Of all that are its own by the database, also those that are being drained. */
  let leases = new Map<number, { lease: string; since: number }>();
  /** Being drained: its lease is still renewed. */
  const leaving = new Set<number>();
  /** Drained, to be given back with the next renewal. */
  const releasing = new Set<number>();
  const helped = new Set<number>();
  const watchPins = createPinWatch(deps.leaseMs, log);
  let pinsHeldBy: string | null = null;
  let renewedAt = performance.now();
  let changedAt = renewedAt;
  let lastSeen = '';
  let retired: (() => void) | null = null;

  function drain(partition: number): void {
    kept.delete(partition);
    leaving.add(partition);
    void serving.close(partition).then(() => {
      leaving.delete(partition);
      releasing.add(partition);
      deps.onDrained();
    });
  }

  /** What is mine by the database, but others' by my books or the other way round. */
  function follow({ mine }: Owned): void {
    const owned = new Set(mine.map(({ no }) => no));
    const lost = [...kept].filter((partition) => !owned.has(partition));
    for (const partition of lost) {
      kept.delete(partition);
      void serving.close(partition);
    }
    if (lost.length > 0) log.warn({ partitions: lost }, 'lost partitions: their leases had expired');
    const taken = [...owned].filter((no) => !kept.has(no) && !leaving.has(no) && !releasing.has(no));
    for (const partition of taken) {
      // It may still be closing since it was lost: the next renewal starts it.
      if (serving.has(partition) && !helped.delete(partition)) continue;
      kept.add(partition);
      if (!serving.has(partition)) serving.start(partition);
    }
    if (taken.length > 0) log.info({ partitions: [...kept].sort((a, b) => a - b) }, 'owns');
  }

  /** Gives up what is pinned to others, and of the shared what is too much: first where least is in hand. */
  function giveUp({ mine, share }: Owned): void {
    const held = mine.filter(({ no }) => kept.has(no));
    const shared = held.filter(({ hold }) => hold === 'shared').map(({ no }) => no);
    shared.sort((a, b) => serving.jobsOf(a) - serving.jobsOf(b) || b - a);
    for (const { no, hold } of held) if (hold === 'foreign') drain(no);
    for (const no of shared.slice(0, Math.max(0, shared.length - share))) drain(no);
  }

  function help(partitions: readonly number[]): void {
    for (const partition of helped) {
      if (partitions.includes(partition)) continue;
      helped.delete(partition);
      void serving.close(partition);
    }
    for (const partition of partitions) {
      if (serving.has(partition)) continue;
      helped.add(partition);
      serving.start(partition);
    }
  }

  /** When to renew again: soon while partitions are to come. */
  function nextMs(owned: Owned): number {
    const now = performance.now();
    const seen = JSON.stringify(owned);
    if (seen !== lastSeen) changedAt = now;
    lastSeen = seen;
    const normal = Math.min(renewMs, deps.leaseMs / 5);
    return kept.size < owned.share + owned.pinned && now - changedAt < settleMs ? Math.min(normal, waitingMs) : normal;
  }

  return {
    /** The fence of its keyed work; null: the partition is not its own. */
    leaseOf: (partition: number): string | null => leases.get(partition)?.lease ?? null,

    /** Since when it has that. */
    leasedAt: (partition: number): number => leases.get(partition)?.since ?? Infinity,

    partitions: (): number[] => [...kept].sort((a, b) => a - b),

    /** The worker that has the pins of this one; null: nobody, or it has none. */
    pinsHeldBy: (): string | null => pinsHeldBy,

    /** Whether the leases hold by this worker's own clock, with a fifth of them to spare. */
    isFresh: (): boolean => performance.now() - renewedAt < deps.leaseMs * 0.8,

    /** Since the last renewal that was answered was sent. */
    renewedAgoMs: (): number => performance.now() - renewedAt,

    /** Answers after how many ms to renew again. */
    async renew(): Promise<number> {
      const given = [...releasing];
      const sentAt = performance.now();
      const { workerId: worker, leaseMs } = deps;
      const wasRetired = retired !== null;
      const owned = await deps.statements.own({ worker, leaseMs, releasing: given });
      renewedAt = sentAt;
      const now = performance.now();
      const known = leases;
      leases = new Map(
        owned.mine.map(({ no, lease }) => [
          no,
          known.get(no)?.lease === lease ? known.get(no)! : { lease, since: now },
        ]),
      );
      for (const partition of given) releasing.delete(partition);
      follow(owned);
      giveUp(owned);
      help(wasRetired ? [] : await deps.helping.renew(owned));
      serving.tune(owned.helped);
      ({ pinsHeldBy } = owned);
      watchPins(pinsHeldBy);
      if (wasRetired && owned.mine.length === 0) retired?.();
      return nextMs(owned);
    },

    /** Gives up everything, each partition once what is claimed of it is finished or flushed with its rest. */
    async retire(): Promise<void> {
      await deps.statements.retire(deps.workerId);
      const released = new Promise<void>((resolve) => (retired = resolve));
      for (const partition of kept) drain(partition);
      help([]);
      deps.onDrained();
      await released;
      await Promise.all(serving.list().map((partition) => serving.close(partition)));
    },
  };
}

export type Ownership = ReturnType<typeof createOwnership>;
