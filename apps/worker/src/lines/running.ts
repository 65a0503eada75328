import { suspectFrom } from '@bullpen/db';
import { Fail, type Handler, ItemContext } from '@bullpen/handlers';
import { backoffMs } from '../backoff.ts';
import type { Figures } from '../figures.ts';
import { type Isolation, processesMax } from '../isolation/isolation.ts';
import type { GroupStart } from '../isolation/item.ts';
import { Item } from '../outputs.ts';
import { attemptAt, type RunDeps } from '../run.ts';
import { callOne } from '../run-each.ts';
import type { ThreadDeps } from '../threads/run-in-thread.ts';
import { runItemInThread } from '../threads/run-item.ts';
import { createTurn } from '../turn.ts';
import type { Item as HandItem } from './hand.ts';
import { handleOf } from './handle.ts';
import type { Held } from './line.ts';
import type { Row } from './row.ts';
import { createStarting } from './starting.ts';

export interface RunningDeps extends RunDeps, Pick<ThreadDeps, 'threads'> {
  figures: Figures;
  isolation: Pick<Isolation, 'runItem'>;
  /** Of one flush, about. */
  flushMaxItems: number;
}

/** Runs the items that the hand gives out. */
export function createRunning(held: Held, isEnding: () => boolean, deps: RunningDeps) {
  const { hand, plan, signal } = held;
  const { slots } = deps;
  const handle = handleOf(plan);
  const turn = createTurn(deps.sliceMs);
  const starting = createStarting(held, isEnding);
  let now = performance.now();
  /** Two for each thread or process: one that runs, and one that waits. The rest stays in the hand, and is given back when the line is. */
  const elsewhereMax = 2 * (plan.handler.threads ?? processesMax);
  let elsewhere = 0;
  let awaitsSlot = false;
  /** It is this line's turn to take one. */
  let hasTurn = false;
  /** When an item was started last. */
  let startedAt = now;

  const lacksSlot = (): boolean => plan.takesSlots && (hasTurn ? slots.free <= 0 : !slots.isFreeFor(held.line.order));
  const isCrowded = (): boolean => elsewhere >= elsewhereMax;
  const isFull = (): boolean => held.fresh.bytes >= deps.sliceMaxBytes || held.fresh.items >= deps.flushMaxItems;

  function start(item: HandItem<Row>): void {
    const { row, at } = item;
    startedAt = now;
    hasTurn = false;
    const context = new ItemContext(plan.scope, row.indexes[at]!, attemptAt(row.run, at));
    const call = callOf(row, at);
    const outcome = callOne(row.run, at, call, context, deps.marks);
    if (outcome === null) return over(row, at);
    if (row.isElsewhere) elsewhere += 1;
    else {
      plan.takesSlots = true;
      plan.gate.holdsSlots();
    }
    held.open += 1;
    hand.hold(item);
    row.opens.add(at, context, outcome);
  }

  /** How an item is called: where it is, or where it harms nobody, or does not keep the loop from others. */
  function callOf(row: Row, at: number): NonNullable<Handler['run']> {
    const { run, attempts, held: { crashes } } = row; // prettier-ignore
    if (attempts.size > 0 && attemptAt(run, at) > plan.maxAttempts) return () => Promise.reject(worn(row, at));
    const isSuspect = crashes >= suspectFrom;
    if (!isSuspect && (plan.handler.threads === undefined || plan.broken !== null)) return handle;
    const [chunk, input] = [run.held, row.read(at)];
    if (isSuspect) return (_, context) => deps.isolation.runItem(plan.row, input, context, groupStart(input));
    return (_, context) => runItemInThread({ chunk, plan, input, context, order: held.line.order }, deps);
  }

  /** When an item may start that has waited for a process: its group has a pace, which began when it was started here. */
  function groupStart(input: unknown): GroupStart | undefined {
    const pace = plan.group?.paceOf?.(held.line)?.elsewhere();
    const key = pace === undefined ? null : plan.group!.keyOf(input);
    return pace === undefined || key === null
      ? undefined
      : { readyAt: () => pace.readyAt(key), started: (now) => pace.started(key, now) };
  }

  /** An item is final, or is to be tried again. */
  function over(row: Row, at: number): void {
    const { run } = row;
    if (!row.dirty) held.fresh.rows += 1;
    row.dirty = true;
    if (run.state[at] === Item.again) return again(row, at);
    row.fresh.push(at);
    row.left -= 1;
    // Else they live on until eight rows more were parsed: 0.2 µs an item more, and 20 MB.
    if (row.left === 0) row.values = null;
    held.fresh.items += 1;
    held.fresh.bytes += run.texts[at]?.length ?? 0;
  }

  function again(row: Row, at: number): void {
    const { run } = row;
    const attempt = attemptAt(run, at);
    held.fresh.retried += 1;
    const waitMs = run.retries.get(at) ?? backoffMs({ attempt, baseMs: plan.backoffMs, random: Math.random });
    const dueAt = performance.now() + waitMs;
    run.retries.delete(at);
    run.state[at] = Item.open;
    row.attempts.set(at, attempt + 1);
    row.dueAt.set(at, dueAt);
    hand.retry({ row, at }, dueAt, now);
  }

  function awaitSlot(): void {
    if (awaitsSlot) return;
    awaitsSlot = true;
    void slots.wait(held.line.order, isEnding).then(() => {
      awaitsSlot = false;
      hasTurn = true;
      signal.give();
      // It may be ending, or have to wait for a start.
      slots.passSoon();
    });
  }

  return {
    /** Starts items until none may start, others are to have the loop, or enough waits for its flush. */
    async run(): Promise<void> {
      now = performance.now();
      while (!isFull() && !isCrowded()) {
        if (lacksSlot()) return awaitSlot();
        if (turn.isTimeToLook()) {
          if (turn.hasRunLong()) await turn.yield();
          now = performance.now();
          if (isEnding() || !deps.mayStart()) return;
          if (plan.gate.isStale()) return starting.refresh();
          if (lacksSlot()) return awaitSlot();
        }
        if (plan.gate.limited && !starting.may(now)) return;
        const item = hand.take(now);
        if (item === null) return;
        starting.begun();
        start(item);
      }
    },

    /** An item that had answered a promise is over. */
    overLater(row: Row, at: number): void {
      now = performance.now();
      held.open -= 1;
      if (row.isElsewhere) elsewhere -= 1;
      hand.free({ row, at }, now);
      over(row, at);
      signal.give();
    },

    /** Something may start as soon as it is asked for. */
    canGoOn: (): boolean =>
      hand.isReady() && !isFull() && !isCrowded() && !lacksSlot() && !starting.waits() && deps.mayStart(),
    /** How long nothing was to be started, though there were slots. */
    waitedMs: (): number =>
      lacksSlot() || !deps.mayStart() || (hand.isReady() && !isCrowded() && !starting.waits())
        ? 0
        : performance.now() - startedAt,
    /** The turn is over. */
    end: (): void => starting.end(),
    workMs: (): number => turn.workMs(),
  };
}

/** Its attempts were used up by what ended the worker's process (the watchdog has written that down). */
function worn({ ended }: Row, at: number): Fail {
  const { code, message } = ended.get(at) ?? { code: 'worker-lost', message: 'its worker ended each time it ran' };
  return new Fail(code, message);
}
