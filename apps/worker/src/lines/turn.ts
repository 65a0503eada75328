import type { Statements } from '@bullpen/db';
import { ItemContext } from '@bullpen/handlers';
import type { Plan } from '../plans.ts';
import { type ClaimingDeps, createClaiming } from './claiming.ts';
import { createFlushing, type FlushingDeps } from './flushing.ts';
import { createHand } from './hand.ts';
import type { Held, Line } from './line.ts';
import type { Row } from './row.ts';
import { createRunning, type RunningDeps } from './running.ts';
import { createSignal } from './signal.ts';

export interface TurnDeps extends Omit<ClaimingDeps, 'onOver'>, RunningDeps, FlushingDeps {
  statements: ClaimingDeps['statements'] & FlushingDeps['statements'] & Pick<Statements, 'lineTag'>;
  /** Others wait for a hand. */
  isWanted: () => boolean;
  /** They may have that of this turn, which counts apart from then on. False: too many do. */
  stepAside: () => boolean;
}

/** A line that does nothing but wait longer than this is given back, and comes again when it is due. */
const waitMaxMs = 1000;
/** Where more of it may come meanwhile, or others may let go of what it needs, it is looked at again after this. */
const asleepMaxMs = 60_000;
/** One that starts nothing for so long, or waits so long for the end of what runs, needs no hand. */
const slowMs = 100;
/** What nobody tells is looked for this often: that the line is to be given back, that the lease is fresh again. */
const lookMs = 100;

/**
 * The turn of a line: claim → run → flush, each beside the others, until nothing is left of it, it does nothing but wait for a time, or
 * it is to be given back. `nothing`: not a row of it was to be had.
 *
 * One that waits for slow items goes on, for other groups of it, and steps aside: with eight slow items in eight lines nothing else
 * would have a hand, and while the last of them runs no other may have the line.
 */
export async function runTurn(line: Line, plan: Plan, deps: TurnDeps): Promise<'over' | 'nothing'> {
  const startedAt = performance.now();
  const signal = createSignal();
  const { keyOf, max, ordered, paceOf } = plan.group!;
  const pace = paceOf?.(line) ?? null;
  const hand = createHand<Row>({ keyOf: (row, at) => keyOf(row.read(at)), groupMax: max, ordered, pace });
  const held: Held = {
    line, plan, hand, signal, rows: [], fresh: { items: 0, bytes: 0, rows: 0, retried: 0 }, open: 0, isFenced: false,
  }; // prettier-ignore
  const beside = createBeside(() => signal.give());
  let isAside = false;
  let placedAt = startedAt;
  const isOverdue = (): boolean => !isAside && performance.now() - startedAt >= deps.sliceMs && deps.isWanted();
  const isLost = (): boolean => held.isFenced || line.isLost() || beside.failure() !== null;
  const isOver = (): boolean => isLost() || line.isGone() || plan.stopped;
  const isEnding = (): boolean => isOver() || isOverdue();
  const running = createRunning(held, isEnding, deps);
  const claiming = createClaiming(held, { ...deps, onOver: (row, at) => running.overLater(row, at) });
  const flushing = createFlushing(held, (isOver) => claiming.letGo(isOver), deps);

  /** How long nothing can happen but that a time comes; 0: something may. */
  function restMs(): number {
    if (beside.isBusy() || held.open > 0 || held.fresh.rows > 0) return 0;
    const pausedMs = held.rows.length === 0 ? 0 : plan.gate.pausedMs();
    if (hand.isReady() || !(claiming.hasAll() || claiming.isFull())) return pausedMs;
    return Math.max(pausedMs, hand.dueAt() - performance.now());
  }

  /** Aside it is never marked again, and would go before all that came later until it is at its end: each slice its place is read anew. */
  async function moveOn(): Promise<void> {
    placedAt = performance.now();
    line.order = (await deps.statements.lineTag(line.batch)) ?? line.order;
  }

  /** Answers how long nothing of it can start, where that is why it ends. */
  async function work(): Promise<number> {
    while (!isEnding()) {
      if (claiming.wantsMore()) beside.start('claim', () => claiming.claim());
      if (deps.mayStart()) await running.run();
      if (flushing.isDue()) beside.start('flush', () => flushing.flush());
      if (isAside && performance.now() - placedAt >= deps.sliceMs) beside.start('place', moveOn);
      const rest = restMs();
      if (rest > waitMaxMs) return Number.isFinite(rest) ? rest : 0;
      if (running.canGoOn()) continue;
      if (!isAside && running.waitedMs() >= slowMs) isAside = deps.stepAside();
      await signal.wait(Math.max(1, Math.min(lookMs, hand.dueAt() - performance.now())));
    }
    return 0;
  }

  /** Of what runs, where nothing of it can be settled any more. */
  function endItems(): void {
    for (const { run } of held.rows)
      for (const context of run.open.values()) ItemContext.end(context, new Error('its worker has lost the line'));
  }

  /**
   * What still runs has to be over before the line may be in a hand again, also where nobody asks for what it comes to. False: that takes long.
   * Under a lease that is lost it is let go instead: another owns the line, and nobody has it as long as its rows are in this hand.
   */
  async function isSettled(): Promise<boolean> {
    const since = performance.now();
    while (held.open > 0 || beside.isBusy()) {
      if (isLost()) endItems();
      if (line.isLost() && !beside.isBusy()) return true;
      if (!isAside && !isOver() && performance.now() - since >= slowMs) isAside = deps.stepAside();
      if (isAside && !isOver()) return false;
      await signal.wait(lookMs);
    }
    return true;
  }

  /**
   * It waits for a time, and there is more of it than what is in hand: given back, it would be marked and read again at once. So it keeps its
   * first row, and lets go of all others.
   */
  async function sleep(ms: number): Promise<void> {
    isAside ||= deps.stepAside();
    await flushing.keepFirst();
    const until = performance.now() + Math.min(ms, asleepMaxMs);
    for (let left = ms; left > 0 && !isEnding(); left = until - performance.now())
      await signal.wait(Math.min(lookMs, left));
  }

  let waitMs = await work();
  while (!(await isSettled())) waitMs = await work();
  if (waitMs > 0 && !isOver() && (!claiming.hasAll() || hand.isReady())) {
    await sleep(waitMs);
    waitMs = 0;
  }
  if (held.rows.length > 0 && !isLost()) await flushing.giveBack(waitMs);
  claiming.letGo(() => true);
  running.end();
  deps.figures.workMs += running.workMs();
  deps.figures.ran(performance.now() - startedAt);
  const failure = beside.failure();
  if (failure !== null) throw failure.error;
  return claiming.count() === 0 ? 'nothing' : 'over';
}

/** What runs beside the loop, one of each kind at a time; `onEnd` is called when one is over. */
function createBeside(onEnd: () => void) {
  const busy = new Set<string>();
  let failure: { error: unknown } | null = null;
  return {
    start(kind: string, what: () => Promise<void>): void {
      if (busy.has(kind)) return;
      busy.add(kind);
      void what()
        .catch((error: unknown) => void (failure ??= { error }))
        .finally(() => {
          busy.delete(kind);
          onEnd();
        });
    },
    isBusy: (): boolean => busy.size > 0,
    failure: (): { error: unknown } | null => failure,
  };
}
