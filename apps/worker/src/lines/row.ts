import { type ClaimedRow, joinTexts, type SettledRow, suspectFrom } from '@bullpen/db';
import { Item, type ItemError } from '../outputs.ts';
import type { Plan } from '../plans.ts';
import { openRun, type Run, type RunDeps } from '../run.ts';
import { openItems } from '../run-each.ts';
import { elsewhere } from '../slots.ts';
import { elementOf } from './elements.ts';
import type { HandRow } from './hand.ts';

/** A row of a line in the hand of its owner. */
export interface Row extends HandRow {
  /** Its inputs, parsed; null: not now. */
  values: readonly unknown[] | null;
  /** Where each of them stands in the text, once that was parsed: those that waited are read one by one. */
  places: readonly number[] | null;
  /** Input of an item, as it was sent. */
  read: (at: number) => unknown;
  held: ClaimedRow & { claim: string };
  /** Its items are called in a process or a thread, and wait for one there: they hold no slot meanwhile. */
  isElsewhere: boolean;
  /** Of each item, by position. */
  indexes: readonly number[];
  run: Run;
  opens: ReturnType<typeof openItems>;
  /** Items that became final since the last flush, by position. */
  fresh: number[];
  /** Something is new since the last flush. */
  dirty: boolean;
  /** Items that are not final. */
  left: number;
  attempts: Map<number, number>;
  /** What ended the process of the last attempt, of items where something did. */
  ended: Map<number, ItemError>;
  dueAt: Map<number, number>;
  round: number;
  bytes: number;
}

/** What a row takes beside its inputs, which matters where each has one item. */
const rowBytes = 4500;
/** Longer than `timeoutMs` can be. */
const elsewhereTimeoutMs = 7 * 86_400_000;

export interface RowDeps extends Pick<RunDeps, 'slots' | 'timeouts' | 'marks' | 'outputMaxBytes'> {
  plan: Plan;
  /** An item that had answered a promise is over: final, or to be tried again. */
  onOver: (row: Row, at: number) => void;
  /** Parses the inputs of a row. */
  parse: (row: Row) => readonly unknown[];
}

export function openRow(claimed: ClaimedRow, claim: string, now: number, deps: RowDeps): Row {
  const held = { ...claimed, claim };
  const indexes = claimed.picks ?? claimed.indexes;
  const elements = claimed.picks === null ? null : elementsOf(claimed.picks, claimed.indexes);
  const attempts = new Map<number, number>();
  const dueAt = new Map<number, number>();
  const ended = new Map<number, ItemError>();
  const tries = new Map(claimed.tries.map(([index, attempt, waitMs, error]) => [index, { attempt, waitMs, error }]));
  if (tries.size > 0)
    for (const [at, index] of indexes.entries()) {
      const tried = tries.get(index);
      if (tried === undefined) continue;
      attempts.set(at, tried.attempt);
      if (tried.error) ended.set(at, tried.error);
      if (tried.waitMs > 0) dueAt.set(at, now + tried.waitMs);
    }
  const read = (at: number): unknown => {
    const element = elements === null ? at : elements[at]!;
    if (row.values !== null) return row.values[element];
    return row.places === null ? deps.parse(row)[element] : elementOf(held.items, row.places, element);
  };
  const asChunk = { ...held, picks: indexes, taken: true, inputs: [] };
  const run = openRun(asChunk, deps.plan, deps.outputMaxBytes, deps.plan.handler.ignoresInput ? null : read, attempts);
  const isElsewhere = claimed.crashes >= suspectFrom || deps.plan.handler.threads !== undefined;
  // They have their time from when they have their process or thread (isolation/item.ts, threads/run-item.ts).
  if (isElsewhere) run.timeoutMs = elsewhereTimeoutMs;
  const row: Row = {
    values: null,
    places: null,
    read,
    held,
    indexes,
    run,
    isElsewhere,
    opens: openItems(run, isElsewhere ? { ...deps, slots: elsewhere } : deps, (at) => deps.onOver(row, at)),
    size: indexes.length,
    next: 0,
    fresh: [],
    dirty: false,
    left: indexes.length,
    attempts,
    ended,
    dueAt,
    round: claimed.round,
    bytes: claimed.items.length + rowBytes,
  };
  return row;
}

/** Some item of it runs in this process: not where workers died with it, nor where the attempts of all are used up (running.ts). */
export const runsHere = ({ held, attempts, size }: Row, { maxAttempts }: Plan): boolean =>
  held.crashes < suspectFrom &&
  (attempts.size < size || [...attempts.values()].some((attempt) => attempt <= maxAttempts));

/** Where the picks stand among the indexes; both ascend. */
function elementsOf(picks: readonly number[], indexes: readonly number[]): number[] {
  let element = -1;
  return picks.map((index) => (element = indexes.indexOf(index, element + 1)));
}

/** What is new of a row, as a flush takes it; from then on it is not new any more. */
export function settleRow(row: Row, now: number): SettledRow {
  const { run, held, fresh } = row;
  const outputs: string[] = [];
  const indexes: number[] = [];
  const attempts: number[] = [];
  const failures: { index: number; attempt: number; error: { code: string; message: string } }[] = [];
  const attemptOf = (at: number): number => row.attempts.get(at) ?? held.attempt;
  for (const at of fresh) {
    const index = row.indexes[at]!;
    if (run.state[at] === Item.failed) failures.push({ index, attempt: attemptOf(at), error: run.errors.get(at)! });
    if (run.state[at] !== Item.succeeded) continue;
    outputs.push(run.texts[at]!);
    indexes.push(index);
    attempts.push(attemptOf(at));
  }
  const settled: SettledRow = {
    no: held.no,
    claim: held.claim,
    round: row.round,
    first: held.first,
    succeeded: fresh.length - failures.length,
    outputs: joinTexts(outputs),
    indexes,
    attempts: row.attempts.size === 0 ? null : attempts,
    failures,
    left: row.left === 0 ? null : row.indexes.filter((_, at) => !isFinal(row, at)),
    tries: [...row.attempts].flatMap(([at, attempt]) => (isFinal(row, at) ? [] : [tryOf(row, at, attempt, now)])),
  };
  run.errors.clear();
  run.texts = [];
  run.bytes = 0;
  row.fresh = [];
  row.dirty = false;
  return settled;
}

function tryOf({ indexes, dueAt, ended }: Row, at: number, attempt: number, now: number): SettledRow['tries'][number] {
  const waitMs = Math.max(0, (dueAt.get(at) ?? 0) - now);
  const error = ended.get(at);
  return error === undefined ? [indexes[at]!, attempt, waitMs] : [indexes[at]!, attempt, waitMs, error];
}

const isFinal = ({ run: { state } }: Row, at: number): boolean =>
  state[at] === Item.succeeded || state[at] === Item.acknowledged || state[at] === Item.failed;
