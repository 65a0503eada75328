import { randomUUID } from 'node:crypto';
import type { Statements } from '@bullpen/db';
import { crashPoint } from '@bullpen/runtime';
import type { Claims } from '../claims.ts';
import type { Figures } from '../figures.ts';
import { placesOf } from './elements.ts';
import type { Held } from './line.ts';
import { openRow, type Row, type RowDeps, runsHere } from './row.ts';

export interface ClaimingDeps extends Omit<RowDeps, 'plan' | 'parse'> {
  statements: Pick<Statements, 'claimLine'>;
  workerId: string;
  handlers: readonly string[];
  claims: Pick<Claims, 'enter' | 'settle'>;
  figures: Figures;
  /** Bytes of inputs in hand, over all lines of this worker, and how many lines these are. */
  budget: { bytes: number; readonly lines: number };
}

/** Rows of the first claim, one where the budget is used up; of later ones so many that they hold about this many items, within these bounds. */
const rowsFirst = 4;
const claimItems = 4000;
const rowsMax = 64;
const claimMaxBytes = 4 * 1024 * 1024;
/** What all lines of a worker hold. Where others hold that much a line may still have its part, and always one claim. */
const budgetBytes = 48 * 1024 * 1024;
const handMaxItems = 200_000;
/** Rows whose inputs are kept parsed. */
const parsedMax = 8;
/** A line of which all was claimed is looked at this often: more may have been appended. */
const lookAgainMs = 250;

/** Takes rows of a line into the hand, one hand ahead of what runs, and lets go of those that are done. */
export function createClaiming(held: Held, deps: ClaimingDeps) {
  const { line, plan, hand } = held;
  let after = -1;
  let rowsNext = rowsFirst;
  let last = { items: 0, at: 0, wasAll: false };
  let count = 0;
  let ownBytes = 0;
  /** Rows whose inputs are parsed. */
  const parsed: Row[] = [];

  /** Of a row that is done nothing is read any more. */
  function forget(row: Row): void {
    if (row.left > 0) row.places = placesOf(row.held.items);
    row.values = null;
  }

  function parse(row: Row): readonly unknown[] {
    const values = JSON.parse(row.held.items) as unknown[];
    row.values = values;
    parsed.push(row);
    if (parsed.length > parsedMax) forget(parsed.shift()!);
    return values;
  }

  async function send(claim: string, rows: number) {
    const { workerId: worker, handlers } = deps;
    const { batch, line: no, lease } = line;
    const asked = { batch, line: no, lease, after, rows, claim, worker, handlers };
    const sentAt = performance.now();
    const claimed = await deps.statements.claimLine(asked);
    if (claimed.length > 0) crashPoint('after-claim');
    deps.figures.claimed(claimed.length, performance.now() - sentAt);
    return claimed;
  }

  function isFull(): boolean {
    const { bytes, lines } = deps.budget;
    if (bytes >= budgetBytes && ownBytes >= budgetBytes / Math.max(1, lines)) return true;
    return held.rows.reduce((sum, row) => sum + row.left, 0) >= handMaxItems;
  }

  return {
    /** Rows that were had in this turn. */
    count: (): number => count,
    /** Nothing is left to be claimed, as it was seen last. */
    hasAll: (): boolean => last.wasAll,
    /** Nothing more is claimed before something in hand is over. */
    isFull,

    wantsMore(): boolean {
      if (last.wasAll && performance.now() - last.at < lookAgainMs) return false;
      if (hand.unseen() > last.items) return false;
      return held.rows.length === 0 || !isFull();
    },

    /**
     * The claim id is known to the heartbeat before the statement leaves, so that a lost reply can be repaired. The batch is
     * prepared for the first row that runs here, with that in hand, so that it is charged should this never end.
     */
    async claim(): Promise<void> {
      const claim = randomUUID();
      deps.claims.enter(claim, 1);
      const most = count === 0 && deps.budget.bytes >= budgetBytes ? 1 : rowsNext;
      const rows = await send(claim, most).catch((error: unknown) => {
        deps.claims.settle(claim);
        throw error;
      });
      if (rows.length === 0) deps.claims.settle(claim);
      else deps.claims.enter(claim, rows.length);
      const now = performance.now();
      last = { items: 0, at: now, wasAll: rows.length < most };
      let bytes = 0;
      const opened = rows.map((claimed) => openRow(claimed, claim, now, { ...deps, plan, parse }));
      for (const row of opened) {
        held.rows.push(row);
        after = row.held.place;
        last.items += row.size;
        bytes += row.bytes;
      }
      count += rows.length;
      ownBytes += bytes;
      deps.budget.bytes += bytes;
      if (rows.length > 0) rowsNext = rowsFor(last.items / rows.length, bytes / rows.length);
      for (const row of opened) {
        if (runsHere(row, plan)) await plan.prepare(row.held.no);
        hand.add(row);
      }
    },

    letGo(isOver: (row: Row) => boolean): void {
      for (const row of held.rows) {
        if (!isOver(row)) continue;
        deps.claims.settle(row.held.claim);
        ownBytes -= row.bytes;
        deps.budget.bytes -= row.bytes;
      }
      held.rows = held.rows.filter((row) => !isOver(row));
    },
  };
}

/** Of so many items and bytes each. */
function rowsFor(items: number, bytes: number): number {
  const forItems = Math.ceil(claimItems / Math.max(1, items));
  const fit = Math.floor(claimMaxBytes / Math.max(1, bytes));
  return Math.max(1, Math.min(rowsMax, forItems, fit));
}
