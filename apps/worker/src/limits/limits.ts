import { batchLimit, handlerLimit, type Limit, type Statements } from '@bullpen/db';
import { errorFacts, type Log } from '@bullpen/runtime';
import { createBookings } from './bookings.ts';
import { createGate, type Gate, type GateDeps, type OwnGate } from './gate.ts';
import { createPermits } from './permits.ts';

export interface LimitsDeps {
  statements: Pick<Statements, 'limits' | 'leaseSlots' | 'sharePermits' | 'pauseLimits'>;
  workerId: string;
  handlers: readonly string[];
  leaseMs: number;
  slots: GateDeps['slots'];
  log: Log;
}

/** Limits are read again this often while something of the batch is here. */
const readEveryMs = 500;
/** What is older is read before it is gone by. */
const freshMs = 1000;
/** Gates that are kept; more than plans, which hold on to theirs. */
const keptMax = 4000;

interface Kept {
  gate: OwnGate;
  handler: string;
  usedAt: number;
}

/**
 * The limits of batches and handlers as this worker goes by them. They are read, at least each second while a batch is at work here, and
 * before a chunk starts where nothing was read for longer: so a change acts within 1 to 2 s.
 */
export function createLimits(deps: LimitsDeps) {
  const { statements, log } = deps;
  const bookings = createBookings({ leaseSlots: statements.leaseSlots, log });
  const permits = createPermits({
    share: statements.sharePermits,
    workerId: deps.workerId,
    leaseMs: deps.leaseMs,
    log,
  });
  const known = new Map<string, Limit>();
  const gates = new Map<number, Kept>();
  const readAt = new Map<number, number>();
  let pauses = new Map<number, number>();
  let asked = new Set<number>();
  let reading: Promise<void> | null = null;

  async function read(): Promise<void> {
    await new Promise(setImmediate);
    const batches = [...asked];
    asked = new Set();
    reading = null;
    const sentAt = performance.now();
    const named = [...batches.map(batchLimit), ...deps.handlers.map(handlerLimit)];
    const found = new Map((await statements.limits(named)).map((limit) => [limit.name, limit]));
    for (const name of named) {
      const limit = found.get(name);
      if (limit === undefined) known.delete(name);
      else known.set(name, limit);
    }
    for (const batch of batches) {
      readAt.delete(batch);
      readAt.set(batch, sentAt);
      apply(batch);
    }
    for (const batch of readAt.keys()) {
      if (readAt.size <= keptMax) break;
      readAt.delete(batch);
      known.delete(batchLimit(batch));
    }
  }

  function apply(batch: number): void {
    const kept = gates.get(batch);
    const at = readAt.get(batch) ?? -Infinity;
    kept?.gate.apply(known.get(batchLimit(batch)), known.get(handlerLimit(kept.handler)), at);
  }

  /** With what others ask for in this turn of the loop. */
  function ask(batch: number): Promise<void> {
    asked.add(batch);
    return (reading ??= read());
  }

  async function pauseAll(batch: number, ms: number): Promise<void> {
    const isFirst = pauses.size === 0;
    pauses.set(batch, Math.max(ms, pauses.get(batch) ?? 0));
    if (!isFirst) return;
    await new Promise(setImmediate);
    const told = pauses;
    pauses = new Map();
    await Promise.all([...told].map(([batch, ms]) => statements.pauseLimits({ batch, ms })));
  }
  const warn = (error: unknown): void => log.error(errorFacts(error), 'limits could not be read or set');
  const gateDeps: GateDeps = {
    bookings,
    permits,
    slots: deps.slots,
    pauseAll: (batch, ms) => void pauseAll(batch, ms).catch(warn),
    read: (batch) => ask(batch).catch(warn),
  };

  const reads = setInterval(() => {
    const now = performance.now();
    for (const [batch, { gate, usedAt }] of gates)
      if (gate.isBusy() || now - usedAt < freshMs) void ask(batch).catch(warn);
  }, readEveryMs);

  return {
    /** The gate of a batch; what limits it is known once it was freshened. */
    gateOf(batch: number, handler: string): Gate {
      let kept = gates.get(batch);
      if (kept === undefined) {
        kept = { gate: createGate(batch, handler, gateDeps), handler, usedAt: performance.now() };
        gates.set(batch, kept);
        apply(batch);
      }
      for (const [old, { gate }] of gates) {
        if (gates.size <= keptMax) break;
        if (old === batch || gate.isBusy()) continue;
        gates.delete(old);
        // It leaves its permits.
        gate.apply(undefined, undefined, -Infinity);
      }
      return kept.gate;
    },

    /** Before a chunk of it starts; null: what is known of it is fresh. */
    freshen(batch: number): Promise<void> | null {
      const now = performance.now();
      const kept = gates.get(batch);
      if (kept !== undefined) {
        kept.usedAt = now;
        // The one that was used longest ago is the first.
        gates.delete(batch);
        gates.set(batch, kept);
      }
      return now - (readAt.get(batch) ?? -Infinity) < freshMs ? null : ask(batch);
    },

    async close(): Promise<void> {
      clearInterval(reads);
      await permits.close();
    },
  };
}

export type Limits = ReturnType<typeof createLimits>;
