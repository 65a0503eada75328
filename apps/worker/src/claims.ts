import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Claimed, Statements } from '@bullpen/db';
import { crashPoint } from '@bullpen/runtime';
import type { Figures } from './figures.ts';

/** A chunk in this worker's hands. */
export interface Held extends Claimed {
  claim: string;
}

interface Asked {
  no: number;
  batchNo: number | null;
  resolve: (held: Held | 'suspect' | null) => void;
  reject: (error: unknown) => void;
}

/** Chunks of one claim statement at most, and statements in flight. */
const mergeMax = 200;
const inFlightMax = 2;

export interface ClaimsDeps {
  statements: Pick<Statements, 'claim'>;
  workerId: string;
  handlers: readonly string[];
  jitterMs: number;
  figures: Figures;
}

/**
 * Claims chunks, many in one statement: whatever is asked for while one is on its way goes with the next. The claim id
 * is made here and known to the heartbeat before the statement leaves, so that a lost reply can be repaired.
 */
export function createClaims(deps: ClaimsDeps) {
  /** Chunks still in hand, by claim id. */
  const live = new Map<string, number>();
  const asked: Asked[] = [];
  let inFlight = 0;
  let scheduled = false;

  async function send(batch: readonly Asked[], alone: boolean): Promise<void> {
    if (batch.length === 0) return;
    inFlight += 1;
    const claim = randomUUID();
    live.set(claim, batch.length);
    try {
      if (deps.jitterMs > 0) await sleep(Math.random() * deps.jitterMs);
      const started = performance.now();
      const nos = batch.map((each) => each.no);
      const { workerId: worker, handlers } = deps;
      const batches = batchesOf(batch);
      const rows = await deps.statements.claim({ nos, batches, claim, worker, handlers, alone });
      if (rows.length > 0) crashPoint('after-claim');
      deps.figures.claimed(rows.length, performance.now() - started);
      const byNo = new Map(rows.map((row) => [row.no, row]));
      for (const { no, resolve } of batch) {
        const row = byNo.get(no);
        if (!row?.taken) settle(claim);
        resolve(row === undefined ? null : row.taken ? { ...row, claim } : 'suspect');
      }
    } catch (error) {
      live.delete(claim);
      for (const { reject } of batch) reject(error);
    } finally {
      inFlight -= 1;
      schedule();
    }
  }

  function schedule(): void {
    if (scheduled || inFlight >= inFlightMax || asked.length === 0) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      void send(asked.splice(0, mergeMax), false);
    });
  }

  function settle(claim: string): void {
    const left = (live.get(claim) ?? 0) - 1;
    if (left > 0) live.set(claim, left);
    else live.delete(claim);
  }

  return {
    /** So many chunks are in hand under a claim that was made elsewhere, or will be: before it is sent. */
    enter: (claim: string, chunks: number): void => void live.set(claim, chunks),
    /**
     * The chunk, or null when it is not to be had: taken, done, or its batch does not run. `suspect`: it is to be had only
     * by a worker that has nothing else in hand, which says so by `alone`. `batchNo`: of its batch, where it is known.
     */
    claim: (no: number, batchNo: number | null, alone: boolean): Promise<Held | 'suspect' | null> =>
      new Promise((resolve, reject) => {
        if (alone) return void send([{ no, batchNo, resolve, reject }], true);
        asked.push({ no, batchNo, resolve, reject });
        schedule();
      }),
    /** Says that a chunk has left this worker's hands. */
    settle,
    /** Claim ids in hand: what runs under this worker with any other id is an orphan. */
    live: (): string[] => [...live.keys()],
  };
}

export type Claims = ReturnType<typeof createClaims>;

/** Of all of them, each once; null where one is not known. */
function batchesOf(asked: readonly Asked[]): number[] | null {
  const batches = new Set(asked.map(({ batchNo }) => batchNo));
  return batches.has(null) ? null : ([...batches] as number[]);
}
