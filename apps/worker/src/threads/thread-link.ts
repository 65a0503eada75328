import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { BatchPlan } from '@bullpen/db';
import type { Held } from '../claims.ts';
import type { Outcomes } from '../outcomes.ts';
import { describeError, type ItemError } from '../outputs.ts';
import type { Plan } from '../plans.ts';
import { TimeoutError } from '../timeouts.ts';
import { cells, createMarks, none, start, viewsOf } from '../watchdog/marks.ts';
import { createStalls } from '../watchdog/stalls.ts';
import { type Answer, type GateAnswer, type GateOrder, knownMax, readAnswer, writeOrder } from './parcels.ts';

/** What all threads of a handler are told when they start. */
export interface ThreadFacts {
  handler: string;
  /** Where the handlers are. */
  folders: readonly string[];
  /** Of the worker, for the log. */
  name: string;
  logLevel: string;
  pretty: boolean;
  /** Items that wait for their promise at once. */
  concurrency: number;
  sliceMs: number;
  outputMaxBytes: number;
  sliceMaxBytes: number;
}

export interface ThreadData extends ThreadFacts {
  /** See marks.ts. */
  shared: SharedArrayBuffer;
  /** Not the thread's own port, to which a handler can post as well. */
  port: MessagePort;
}

/** A chunk to run; `gone` says that no more items of it are to be started. */
export interface Task {
  held: Held;
  plan: Plan;
  gone: () => boolean;
}

/** The thread is of no use any more, and the chunk was in its hands. */
export interface Lost {
  /** Item (or what marks.ts says in its place) that the thread was in; `none`: outside of any call. */
  item: number;
  error: ItemError;
  /** It may have been lost by what a chunk before left in it. */
  inDoubt: boolean;
}
export type Ending = (Lost | Outcomes) & { workMs: number };

export interface Thread {
  /** Resolves when it has loaded its handler, or could not. */
  ready: () => Promise<void>;
  /** One chunk at a time. */
  run: (task: Task) => Promise<Ending>;
  /** Tells the thread now, and not at the next look, that its task is gone. */
  tell: () => void;
  /** It takes no more, though it may not have ended yet. */
  isOver: () => boolean;
  close: () => Promise<unknown>;
}

/** Loading handlers may take this long on a busy machine. */
const startMs = 60_000;
/** Of a thread's heap: what is more than that is taken for a handler that fills the memory. */
const heapMb = 512;
const tickMs = 100;

const lostBy = (how: string): ItemError => ({ code: 'worker-lost', message: `the handler ${how}` });

/** Starts a thread (thread.ts) and looks after it while it runs a chunk, as the watchdog does after the main thread. */
export function openThread(file: URL, facts: ThreadFacts, leaseMs: number): Thread {
  const marks = createMarks();
  const { item: items, words } = viewsOf(marks.shared);
  const { port1: port, port2 } = new MessageChannel();
  const workerData = { ...facts, shared: marks.shared, port: port2 } satisfies ThreadData;
  const resourceLimits = { maxOldGenerationSizeMb: heapMb };
  const name = `handler ${facts.handler}`;
  const worker = new Worker(file, { name, workerData, transferList: [port2], resourceLimits });
  const openedAt = performance.now();
  const known = new Map<number, Plan>();
  let state: 'starts' | 'ready' | 'over' = 'starts';
  let tellStarted: () => void = () => undefined;
  const started = new Promise<void>((resolve) => (tellStarted = resolve));
  let used = false;
  let task: Task | null = null;
  /** Aborted when the task is. */
  let over = new AbortController();
  let cancelTold = false;
  let thrown: string | null = null;
  /** Hears what becomes of the task; whoever comes first is heard. */
  let settle: (ending: Lost | Answer) => void = () => undefined;

  function hear(message: 'ready' | Answer | GateOrder): void {
    if (message === 'ready') {
      if (state === 'starts') state = 'ready';
      tellStarted();
    } else if ('buffer' in message) settle(message);
    else void obey(message);
  }
  /** A handler asks for slots, or that all are to wait. */
  async function obey(order: GateOrder): Promise<void> {
    if (task === null) return;
    const { gate } = task.plan;
    if ('pauseMs' in order) return gate.pauseAll(order.pauseMs);
    const { further, id } = order;
    const answer = await gate.further(further, over.signal).then(
      () => ({ id }),
      (error: unknown) => ({ id, error: describeError(error).message }),
    );
    port.postMessage(answer satisfies GateAnswer);
  }
  function lose(item: number, error: ItemError, certain: boolean): void {
    state = 'over';
    tellStarted();
    settle({ item, error, inDoubt: used && !certain });
    void worker.terminate();
  }
  function loseStart(why: string): void {
    lose(start, { code: 'not-started', message: `the thread of the handler does not start: ${why}` }, true);
  }

  worker.unref();
  worker.on('error', (error) => (thrown = describeError(error).message));
  worker.once('exit', () => {
    for (let last = receiveMessageOnPort(port); last !== undefined; last = receiveMessageOnPort(port))
      hear(last.message as Answer);
    if (state === 'starts') return loseStart(thrown ?? 'it ended');
    const item = items[0]!;
    lose(item, lostBy(`ended its thread${thrown === null ? '' : `: ${thrown}`}`), thrown === null && item !== none);
  });
  port.on('message', hear);
  port.unref();

  function tell(): void {
    if (task === null) return;
    Atomics.store(words, cells.stop, task.gone() ? 1 : 0);
    Atomics.store(words, cells.limited, task.plan.gate.limited ? 1 : 0);
    if (task.plan.scope.cancelled === null || cancelTold) return;
    cancelTold = true;
    port.postMessage('cancel');
  }

  function look(judge: ReturnType<typeof createStalls>): void {
    tell();
    if (state === 'starts') {
      if (performance.now() - openedAt > startMs) loseStart(`it was not ready after ${startMs} ms`);
      return;
    }
    const item = items[0]!;
    const timeoutMs = words[cells.timeoutMs]!;
    const finding = judge({ call: words[cells.call]!, item, timeoutMs, turns: words[cells.turns]! });
    if (finding === 'blame') {
      const { code, message } = new TimeoutError(timeoutMs);
      lose(item, { code, message }, true);
    } else if (finding === 'stuck') lose(none, lostBy('kept its thread busy outside of any call'), false);
  }

  /** The batch, where the thread does not know it. */
  function rowOf(plan: Plan): BatchPlan | null {
    if (known.get(plan.batch) === plan) return null;
    if (known.size >= knownMax) known.clear();
    known.set(plan.batch, plan);
    return plan.row;
  }

  return {
    ready: () => Promise.race([started, sleep(startMs, undefined, { ref: false })]),
    async run(next): Promise<Ending> {
      const startedAt = performance.now();
      const ended = new Promise<Lost | Answer>((resolve) => (settle = resolve));
      const order = writeOrder(next.held, rowOf(next.plan));
      Atomics.store(words, cells.stop, 0);
      cancelTold = false;
      Atomics.store(words, cells.limited, next.plan.gate.limited ? 1 : 0);
      port.postMessage(order, [order.buffer]);
      task = next;
      tell();
      const judge = createStalls({ tickMs, leaseMs });
      const looks = setInterval(() => look(judge), tickMs);
      const ending = await ended;
      clearInterval(looks);
      task = null;
      over.abort();
      over = new AbortController();
      used = true;
      if ('buffer' in ending) return { ...readAnswer(ending), workMs: ending.workMs };
      return { ...ending, workMs: performance.now() - startedAt };
    },
    tell,
    isOver: () => state === 'over',
    close(): Promise<unknown> {
      state = 'over';
      return worker.terminate();
    },
  };
}
