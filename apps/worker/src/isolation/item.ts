import type { BatchPlan } from '@bullpen/db';
import { Fail, type ItemContext, Retry } from '@bullpen/handlers';
import { attemptsOf } from '../plans.ts';
import { TimeoutError } from '../timeouts.ts';

/** An item for a process in which it runs alone. */
export interface ItemOrder {
  item: number;
  batch: number;
  index: number;
  attempt: number;
  input: unknown;
}

/** What became of it: JSON text of its output, nothing, or what it threw. */
export interface ItemAnswer {
  item: number;
  text?: string;
  thrown?: { code: string; message: string; final: boolean; afterMs: number | null; forAll: boolean };
}

/** When items of its group may start. */
export interface GroupStart {
  readyAt: () => number;
  started: (now: number) => void;
}

interface Pool {
  /** Gives it to a process, when one is free. `resolve` without an answer: the process ended with it. */
  ask: (suspect: {
    order: ItemOrder;
    gone: () => boolean;
    onStart: () => void;
    readyAt?: (() => number) | undefined;
    resolve: (fate: 'over' | 'back', answer?: ItemAnswer) => void;
  }) => void;
  /** Nobody waits for it any more. */
  kill: (order: ItemOrder) => void;
}

/** Once more in a new process: what ended the first one may have been something else. */
const endsMax = 2;
let items = 0;

/**
 * An item that may be what workers died with. It fails as `worker-lost` when two processes have ended in which it was alone. One
 * that takes longer than `timeoutMs` from when a process has it, or whose batch is cancelled, takes its process with it.
 */
export async function runItemAlone(
  {
    row,
    input,
    context,
    group,
  }: { row: BatchPlan; input: unknown; context: ItemContext; group?: GroupStart | undefined },
  pool: Pool,
): Promise<unknown> {
  const { index, attempt } = context;
  for (let ends = 0; ends < endsMax; ends += 1) {
    const order: ItemOrder = { item: (items += 1), batch: row.no, index, attempt, input };
    const answer = await answerTo(order, attemptsOf(row.options).timeoutMs, context.signal, { ...pool, group });
    if (answer !== null) return outcomeOf(answer);
  }
  throw new Fail('worker-lost', 'the process died each time it ran this item');
}

/** Null: its process has ended. */
async function answerTo(
  order: ItemOrder,
  timeoutMs: number,
  signal: AbortSignal,
  { ask, kill, group }: Pool & { group: GroupStart | undefined },
): Promise<ItemAnswer | null> {
  let late: NodeJS.Timeout | undefined;
  let isLate = false;
  const stop = (): void => kill(order);
  const onStart = (): void => {
    group?.started(performance.now());
    late = setTimeout(() => {
      isLate = true;
      kill(order);
    }, timeoutMs);
  };
  signal.addEventListener('abort', stop, { once: true });
  const answer = await new Promise<ItemAnswer | null>((resolve) =>
    ask({
      order,
      onStart,
      readyAt: group?.readyAt,
      gone: () => signal.aborted,
      resolve: (_, answer) => resolve(answer ?? null),
    }),
  );
  signal.removeEventListener('abort', stop);
  clearTimeout(late);
  signal.throwIfAborted();
  if (isLate && answer === null) throw new TimeoutError(timeoutMs);
  return answer;
}

function outcomeOf({ text, thrown }: ItemAnswer): unknown {
  if (thrown === undefined) return text === undefined ? undefined : JSON.parse(text);
  const { code, message, final, afterMs, forAll } = thrown;
  if (final) throw new Fail(code, message);
  if (afterMs !== null) throw new Retry({ afterMs, message, forAll });
  throw Object.assign(new Error(message), { code });
}
