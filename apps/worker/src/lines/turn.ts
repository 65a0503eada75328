import { randomUUID } from 'node:crypto';
import { type SettledRow, type Statements, verdictOf } from '@bullpen/db';
import { type Handler, ItemContext } from '@bullpen/handlers';
import { backoffMs } from '../backoff.ts';
import type { Claims } from '../claims.ts';
import { indexOfOutput } from '../fail-outputs.ts';
import type { Figures } from '../figures.ts';
import { withoutGuilty } from '../guilty.ts';
import { Item } from '../outputs.ts';
import type { Plan } from '../plans.ts';
import { reduceChunk } from '../reduce-chunk.ts';
import { attemptAt, type RunDeps } from '../run.ts';
import { callOne } from '../run-each.ts';
import { createTurn } from '../turn.ts';
import { together } from '../watchdog/marks.ts';
import { createHand, type Item as HandItem } from './hand.ts';
import { openRow, type Row, settleRow } from './row.ts';
import { createSignal } from './signal.ts';

/** A line whose turn it is: the open chunks of a batch in a partition that this worker owns. */
export interface Line {
  batch: number;
  line: number;
  lease: string;
  order: number;
  /** The partition is not this worker's any more, or not under this lease: another may have the line. */
  isLost: () => boolean;
  /** It is to be given back, with what is in hand. */
  isGone: () => boolean;
}

export interface TurnDeps extends RunDeps {
  statements: Pick<Statements, 'claimLine' | 'flushLine' | 'probe'>;
  workerId: string;
  handlers: readonly string[];
  claims: Pick<Claims, 'enter' | 'settle'>;
  figures: Figures;
  /** Of one flush, about. */
  flushMaxItems: number;
  /** Others wait for this turn to end. */
  isWanted: () => boolean;
  /** Bytes of inputs in hand, over all lines. */
  budget: { bytes: number };
}

/** Rows of the first claim; of later ones so many that they hold about this many items, within these bounds. */
const rowsFirst = 4;
const claimItems = 4000;
const rowsMax = 64;
const claimMaxBytes = 4 * 1024 * 1024;
/** What all lines of a worker hold. A line may always have one claim. */
const handsMaxBytes = 48 * 1024 * 1024;
const handMaxItems = 200_000;
/** Rows whose inputs are kept parsed, beside those that are ahead. */
const parsedMax = 8;
/** A line of which all was claimed is looked at this often: more may have been appended. */
const lookAgainMs = 250;
/** A line that does nothing but wait longer than this is given back, and comes again when it is due. */
const waitMaxMs = 1000;
/** Rows of which only a part is new are not written more often than this. */
const partsEveryMs = 50;
/** What nobody tells is looked for this often: that the line is to be given back, that the lease is fresh again. */
const lookMs = 100;

/**
 * The turn of a line: claim → run → flush, each beside the others, until nothing is left of it, or it is to be given back.
 * `nothing`: not a row of it was to be had.
 */
export async function runTurn(line: Line, plan: Plan, deps: TurnDeps): Promise<'over' | 'nothing'> {
  const { figures, slots } = deps;
  const group = plan.group!;
  const handle = handleOf(plan);
  const turn = createTurn(deps.sliceMs);
  const startedAt = performance.now();
  const signal = createSignal();
  let rows: Row[] = [];
  const parsed: { row: Row; values: readonly unknown[] }[] = [];
  let now = startedAt;
  let after = -1;
  let isAllClaimed = false;
  let lookedAt = startedAt;
  let claimedItems = 0;
  let claimedRows = 0;
  let rowsNext = rowsFirst;
  let claiming: Promise<void> | null = null;
  let flushing: Promise<void> | null = null;
  let flushedAt = startedAt;
  /** Of what is not flushed. */
  let fresh = { items: 0, bytes: 0, rows: 0 };
  let open = 0;
  let isFenced = false;
  let answersPromises = false;
  let slotAwaited = false;
  let failure: { error: unknown } | null = null;

  const hand = createHand<Row>({
    keyOf: (row, at) => group.keyOf(row.run.read(at)),
    groupMax: group.max,
    ordered: group.ordered,
  });
  const parse = (row: Row): readonly unknown[] => {
    for (let i = parsed.length - 1; i >= 0; i -= 1) if (parsed[i]!.row === row) return parsed[i]!.values;
    const values = JSON.parse(row.held.items) as unknown[];
    parsed.push({ row, values });
    if (parsed.length > parsedMax) parsed.shift();
    return values;
  };
  const rowDeps = { ...deps, plan, parse, onOver: overLater };

  const isEnding = (): boolean =>
    isFenced || failure !== null || line.isLost() || line.isGone() || plan.stopped || isOverdue();
  const isOverdue = (): boolean => performance.now() - startedAt >= deps.sliceMs && deps.isWanted();
  const heldItems = (): number => rows.reduce((sum, row) => sum + row.left, 0);

  /** Runs beside the rest; what it throws ends the turn. */
  function beside(what: () => Promise<void>, over: () => void): Promise<void> {
    return what()
      .catch((error: unknown) => void (failure ??= { error }))
      .finally(() => {
        over();
        signal.give();
      });
  }

  async function claim(): Promise<void> {
    const id = randomUUID();
    deps.claims.enter(id, 1);
    const sentAt = performance.now();
    let count = 0;
    try {
      const claimed = await deps.statements.claimLine({
        batch: line.batch,
        line: line.line,
        lease: line.lease,
        after,
        rows: rowsNext,
        claim: id,
        worker: deps.workerId,
        handlers: deps.handlers,
      });
      count = claimed.length;
      now = performance.now();
      figures.claimed(count, now - sentAt);
      isAllClaimed = count < rowsNext;
      claimedRows += count;
      claimedItems = 0;
      let bytes = 0;
      for (const each of claimed) {
        const row = openRow(each, id, now, rowDeps);
        rows.push(row);
        hand.add(row);
        after = each.place;
        claimedItems += row.size;
        bytes += row.bytes;
      }
      deps.budget.bytes += bytes;
      if (count > 0) rowsNext = rowsFor(claimedItems / count, bytes / count);
    } finally {
      lookedAt = performance.now();
      if (count === 0) deps.claims.settle(id);
      else deps.claims.enter(id, count);
    }
  }

  const wantsRows = (): boolean => {
    if (claiming !== null) return false;
    if (isAllClaimed && performance.now() - lookedAt < lookAgainMs) return false;
    if (hand.unseen() > claimedItems) return false;
    return rows.length === 0 || (deps.budget.bytes < handsMaxBytes && heldItems() < handMaxItems);
  };

  function start(item: HandItem<Row>): void {
    const { row, at } = item;
    const context = new ItemContext(plan.scope, row.indexes[at]!, attemptAt(row.run, at));
    const outcome = callOne(row.run, at, handle, context, deps.marks);
    if (outcome === null) return overNow(row, at);
    answersPromises = true;
    open += 1;
    hand.hold(item);
    row.opens.add(at, context, outcome);
  }

  function overLater(row: Row, at: number): void {
    now = performance.now();
    open -= 1;
    hand.free({ row, at }, now);
    overNow(row, at);
    signal.give();
  }

  /** An item is final, or is to be tried again. */
  function overNow(row: Row, at: number): void {
    const { run } = row;
    if (!row.dirty) {
      row.dirty = true;
      fresh.rows += 1;
    }
    if (run.state[at] !== Item.again) {
      row.fresh.push(at);
      row.left -= 1;
      fresh.items += 1;
      fresh.bytes += run.texts[at]?.length ?? 0;
      return;
    }
    const attempt = attemptAt(run, at);
    const waitMs = run.retries.get(at) ?? backoffMs({ attempt, baseMs: plan.backoffMs, random: Math.random });
    run.retries.delete(at);
    run.state[at] = Item.open;
    row.attempts.set(at, attempt + 1);
    row.dueAt.set(at, performance.now() + waitMs);
    hand.retry({ row, at }, performance.now() + waitMs, now);
  }

  /** Starts items until none may start, others are to have the loop, or enough waits for its flush. */
  async function run(): Promise<void> {
    now = performance.now();
    while (fresh.bytes < deps.sliceMaxBytes && fresh.items < deps.flushMaxItems) {
      if (answersPromises && slots.free <= 0) return awaitSlot();
      if (turn.isTimeToLook()) {
        if (turn.hasRunLong()) await turn.yield();
        now = performance.now();
        if (isEnding() || !deps.mayStart() || (answersPromises && slots.free <= 0)) return;
      }
      const item = hand.take(now);
      if (item === null) return;
      start(item);
    }
  }

  function awaitSlot(): void {
    if (slotAwaited) return;
    slotAwaited = true;
    void slots.wait(line.order, isEnding).then(() => {
      slotAwaited = false;
      signal.give();
    });
  }

  const wantsFlush = (): boolean => {
    if (flushing !== null || fresh.rows === 0) return false;
    if (fresh.items >= deps.flushMaxItems || fresh.bytes >= deps.sliceMaxBytes) return true;
    const age = performance.now() - flushedAt;
    const done = rows.reduce((n, row) => n + (row.left === 0 ? 1 : 0), 0);
    return done === fresh.rows || (done > 0 && age >= partsEveryMs) || age >= deps.sliceMs;
  };

  /** Writes all that is new, and at the end of a turn also what is not: in one statement, or it would overtake itself. */
  async function flush(keep: boolean, waitMs = 0): Promise<void> {
    const mine = keep ? rows.filter((row) => row.dirty) : rows;
    const items = fresh.items;
    flushedAt = performance.now();
    fresh = { items: 0, bytes: 0, rows: 0 };
    const settled = mine.map((row) => {
      const one = settleRow(row, flushedAt);
      deps.marks.enter(row.held.no, one.succeeded === 1 ? indexOfOutput(one, 0) : together, plan.timeoutMs);
      const reduced = reduceChunk(plan, one);
      deps.marks.leave();
      return reduced;
    });
    const isMine = await write(settled, keep, waitMs);
    figures.flushed(isMine ? items : 0, performance.now() - flushedAt, isMine ? 0 : mine.length);
    if (!isMine) return void (isFenced = true);
    for (const row of mine) row.round += 1;
    drop(keep ? (row) => row.left === 0 && !row.dirty : () => true);
  }

  async function write(settled: readonly SettledRow[], keep: boolean, waitMs: number): Promise<boolean> {
    const send = (rows: readonly SettledRow[]) =>
      deps.statements.flushLine({ line: line.line, lease: line.lease, rows, keep, waitMs });
    try {
      return await send(settled);
    } catch (error) {
      if (verdictOf(error) !== 'value') throw error;
      const mended: SettledRow[] = [];
      for (const row of settled) mended.push(reduceChunk(plan, await withoutGuilty(row, deps.statements.probe)));
      return await send(mended);
    }
  }

  function drop(isDone: (row: Row) => boolean): void {
    for (const row of rows) {
      if (!isDone(row)) continue;
      deps.claims.settle(row.held.claim);
      deps.budget.bytes -= row.bytes;
    }
    rows = rows.filter((row) => !isDone(row));
  }

  /** How long nothing can happen but that a time comes; 0: something may happen. */
  const restsFor = (): number =>
    claiming !== null || flushing !== null || open > 0 || fresh.rows > 0 || !isAllClaimed || hand.isReady()
      ? 0
      : hand.dueAt() - performance.now();

  let waitMs = 0;
  for (;;) {
    if (isEnding()) break;
    if (wantsRows()) claiming = beside(claim, () => (claiming = null));
    if (deps.mayStart()) await run();
    if (wantsFlush())
      flushing = beside(
        () => flush(true),
        () => (flushing = null),
      );
    if (isEnding()) break;
    const rests = restsFor();
    if (rests === Infinity) break;
    if (rests > waitMaxMs) {
      waitMs = rests;
      break;
    }
    const isBusy = hand.isReady() && deps.mayStart() && !(answersPromises && slots.free <= 0);
    if (isBusy && flushing === null) continue;
    await signal.wait(Math.max(1, Math.min(lookMs, hand.dueAt() - performance.now())));
  }

  /** What still runs is over, or too late, before the line may be another's hand in this process. */
  while (open > 0 || claiming !== null || flushing !== null) await signal.wait(lookMs);
  if (rows.length > 0 && !isFenced && failure === null && !line.isLost()) await flush(false, waitMs);
  drop(() => true);
  figures.workMs += turn.workMs();
  if (failure !== null) throw (failure as { error: unknown }).error;
  return claimedRows === 0 ? 'nothing' : 'over';
}

const rowsFor = (items: number, bytes: number): number =>
  Math.max(
    1,
    Math.min(rowsMax, Math.ceil(claimItems / Math.max(1, items)), Math.floor(claimMaxBytes / Math.max(1, bytes))),
  );

/** A handler as it is called for one item; one for the items of a slice gets slices of one. */
function handleOf({ handler, broken }: Plan): NonNullable<Handler['run']> {
  if (broken !== null)
    return () => {
      throw broken;
    };
  if (handler.run !== undefined) return handler.run;
  const { runChunk } = handler;
  return async (input, ctx) => {
    const outputs = await runChunk!([input], [ctx]);
    const [output] = outputs;
    if (outputs.length !== 1) throw new Error('runChunk must answer 1 output, one an input');
    if (output instanceof Error) throw output;
    return output;
  };
}
