import type { Rest } from '@bullpen/db';
import { backoffMs } from './backoff.ts';
import type { Held } from './claims.ts';

/** Items that go back, by position: not started, or to be tried again (`null`: with backoff, a number: after so many ms). */
export interface Back {
  open: readonly number[];
  again: ReadonlyMap<number, number | null>;
  /** Each of `again` stands alone in its next attempt. */
  apart: boolean;
  /** What is open goes back in rests of about so many. */
  pieceItems?: number;
  /** And comes again after so long. */
  waitMs?: number;
}

/** Waits that a handler asked for are rounded up to this, so that items of one flush share a row. */
const waitStepMs = 250;

/**
 * The rests of a chunk. Items that were not started keep their attempt, their order and their chunk. Those that failed
 * share one draw of the backoff, and one row with the items of other chunks that failed in the same flush.
 */
export function restsOf(held: Held, plan: { backoffMs: number }, back: Back): Rest[] {
  const rests: Rest[] = [];
  const attempt = held.attempt + 1;
  const plain = (): number => backoffMs({ attempt: held.attempt, baseMs: plan.backoffMs, random: Math.random });
  for (const piece of piecesOf(back.open, back.pieceItems))
    rests.push(restOf(held, piece, held.attempt, back.waitMs ?? 0));
  for (const [asked, positions] of byWait(back.again)) {
    const delayMs = asked ?? plain();
    const merge = `${held.batch}:${attempt}:${held.crashes}:${asked ?? 'backoff'}`;
    if (back.apart) for (const at of positions) rests.push(restOf(held, [at], attempt, delayMs));
    else rests.push({ ...restOf(held, positions, attempt, delayMs), merge });
  }
  return rests;
}

/** Of a rest that is cut, at most. */
const piecesMax = 200;

/** Positions in runs of about so many; no run is cut in two that would be small. */
function piecesOf(open: readonly number[], size = Infinity): (readonly number[])[] {
  if (open.length === 0) return [];
  if (open.length <= 2 * size) return [open];
  const each = Math.max(size, Math.ceil(open.length / piecesMax));
  const pieces: (readonly number[])[] = [];
  for (let from = 0; from < open.length; from += each) pieces.push(open.slice(from, from + each));
  return pieces;
}

export const indexAt = (held: Held, at: number): number => held.picks?.[at] ?? held.first + at;

function byWait(again: ReadonlyMap<number, number | null>): Map<number | null, number[]> {
  const groups = new Map<number | null, number[]>();
  for (const [at, waitMs] of again) {
    const asked = waitMs === null ? null : Math.ceil(waitMs / waitStepMs) * waitStepMs;
    const positions = groups.get(asked);
    if (positions === undefined) groups.set(asked, [at]);
    else positions.push(at);
  }
  return groups;
}

/** Indexes without a gap need no list. */
function restOf(held: Held, positions: readonly number[], attempt: number, delayMs: number): Rest {
  const indexes = positions.map((at) => indexAt(held, at)).sort((a, b) => a - b);
  const first = indexes[0]!;
  const gapless = indexes.at(-1)! - first === indexes.length - 1;
  const used = inputsOf(held, indexes);
  return {
    first,
    size: indexes.length,
    picks: gapless ? null : indexes,
    attempt,
    delayMs,
    ...(used.length > 0 && {
      srcs: used.map((row) => row.first),
      bytes: used.reduce((sum, row) => sum + row.items.length, 0),
    }),
  };
}

/** Of the inputs of a chunk those that these indexes are in; both are sorted. */
function inputsOf({ inputs }: Held, indexes: readonly number[]): Held['inputs'] {
  if (inputs.length < 2) return inputs;
  let next = 0;
  return inputs.filter((_, row) => {
    const end = inputs[row + 1]?.first ?? Infinity;
    const before = next;
    while (next < indexes.length && indexes[next]! < end) next += 1;
    return next > before;
  });
}
