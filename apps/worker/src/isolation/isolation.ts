import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { BatchPlan, Statements } from '@bullpen/db';
import type { ItemContext } from '@bullpen/handlers';
import { createLoop, errorFacts, type Log } from '@bullpen/runtime';
import type { Totals } from '../figures.ts';
import { type GroupStart, type ItemAnswer, type ItemOrder, runItemAlone } from './item.ts';
import { processFile } from './process-file.ts';

/** What the process is told: a chunk to run, to start no more items of it, or one item to run. */
export type Order = { run: number; publishedAt: number } | { stop: number } | ItemOrder;
/** What it answers: that it can be told (the word of `runProcess`), or that a chunk is over, with what it came to, or its item. */
export type Answer = { type: 'ready'; id: string } | { over: number; done: Partial<Totals> } | ItemAnswer;

export interface IsolationDeps {
  statements: Pick<Statements, 'abandon' | 'leave' | 'silent'>;
  leaseMs: number;
  /** Of the worker; its processes are named after it. */
  name: string;
  /** Told what was done in such a process. */
  onDone: (done: Partial<Totals>) => void;
  log: Log;
}

interface Suspect {
  /** Null: it is a single item. */
  chunk: number | null;
  order: Order;
  /** Its partition is being given up. */
  gone: () => boolean;
  since: number;
  /** A process has it now. */
  onStart?: () => void;
  /** It is not to have one before; left out: at any time. */
  readyAt?: (() => number) | undefined;
  /** `back`: it was not claimed. An item is over with its answer, or without one: then its process ended with it. */
  resolve: (fate: 'over' | 'back', answer?: ItemAnswer) => void;
}

interface Isolated {
  child: ChildProcess;
  openedAt: number;
  /** Its worker id, once it is ready. */
  id: string | null;
  suspect: Suspect | null;
  idle: NodeJS.Timeout | null;
}

/** Processes of one worker at most; a second one only when a suspect has waited this long for the first. */
export const processesMax = 4;
const patienceMs = 1000;
/** One that is not ready by then is stuck, or the machine is. */
const startMs = 60_000;
/** An idle process ends after this long; one that did not come up is tried again after the same. */
const keepMs = 3000;

/**
 * Runs suspects, each alone in a process of this worker's, so that one that kills takes nothing along, and one that
 * takes long keeps nobody waiting. The processes come when there is a suspect, and go.
 */
export function createIsolation({ statements, leaseMs, name, onDone, log }: IsolationDeps) {
  let waiting: Suspect[] = [];
  const processes = new Set<Isolated>();
  let timer: NodeJS.Timeout | null = null;
  let soon: NodeJS.Timeout | null = null;
  let closed = false;

  /** Gives each free process a suspect, and opens one when they wait for too long. */
  function pump(): void {
    const there = [...processes].filter(({ child }) => child.connected);
    for (const isolated of there) if (isolated.id !== null && isolated.suspect === null) occupy(isolated);
    const [first] = waiting;
    if (first === undefined || closed || there.length >= processesMax || timer !== null) return;
    const oneStarts = there.some(({ id }) => id === null);
    const hasWaited = performance.now() - first.since >= patienceMs * there.length;
    if (hasWaited && !oneStarts) open();
    else later(patienceMs);
  }

  function later(ms: number): void {
    timer = setTimeout(() => {
      timer = null;
      pump();
    }, ms);
  }

  /** The first that may start; of those that may not yet the soonest is looked for again in time. */
  function takeReady(): Suspect | undefined {
    const now = performance.now();
    const at = waiting.findIndex(({ readyAt }) => readyAt === undefined || readyAt() <= now);
    if (at >= 0) return waiting.splice(at, 1)[0];
    if (waiting.length > 0 && soon === null) {
      const soonest = Math.min(...waiting.map(({ readyAt }) => readyAt!()));
      soon = setTimeout(
        () => {
          soon = null;
          pump();
        },
        Math.ceil(soonest - now),
      );
    }
    return undefined;
  }

  function occupy(isolated: Isolated): void {
    const suspect = takeReady();
    if (suspect === undefined) {
      isolated.idle ??= setTimeout(() => disconnect(isolated), keepMs);
      return;
    }
    if (isolated.idle !== null) clearTimeout(isolated.idle);
    isolated.idle = null;
    isolated.suspect = suspect;
    suspect.onStart?.();
    tell(isolated, suspect.order);
  }

  function open(): void {
    const child = fork(fileURLToPath(processFile), [`${name}-isolated`], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const isolated: Isolated = { child, openedAt: performance.now(), id: null, suspect: null, idle: null };
    processes.add(isolated);
    log.info({ pid: child.pid }, 'a suspect runs in a process of its own');
    child.on('message', (answer: Answer) => {
      if ('type' in answer) isolated.id = answer.id;
      else if ('item' in answer) finish(isolated, {}, answer);
      else finish(isolated, answer.done);
      pump();
    });
    child.on('error', (error) => {
      log.error(errorFacts(error), 'a process for suspects');
      // Without a process there is no 'exit': too many processes, no memory.
      if (child.pid === undefined) void bury(isolated, null, null);
    });
    // Not 'close', which does not come after a disconnect.
    child.once('exit', (code, signal) => void bury(isolated, code, signal));
    later(patienceMs);
  }

  /** Its suspect is over, however it went. */
  function finish(isolated: Isolated, done: Partial<Totals>, answer?: ItemAnswer): void {
    onDone(done);
    const { suspect } = isolated;
    isolated.suspect = null;
    suspect?.resolve('over', answer);
  }

  /** Each of these waits for a server that is gone. */
  async function takeBack(worker: string): Promise<void> {
    const repaired = await statements.abandon({ worker, crashed: true });
    const failed = repaired.filter(({ fate }) => fate === 'failed').length;
    onDone({ items: failed, failed });
    await statements.leave(worker);
  }

  /**
   * What the process had in hand goes back at once, with a crash more: it had nothing but the suspect. Where it has
   * settled that before its end, nothing is left to take from it. The worker itself never ends with it.
   */
  async function bury(isolated: Isolated, code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    if (isolated.idle !== null) clearTimeout(isolated.idle);
    if (isolated.id !== null && isolated.suspect !== null) {
      log.warn({ chunk: isolated.suspect.chunk, code, signal }, 'a process ended with its suspect');
      await takeBack(isolated.id).catch((error: unknown) =>
        log.error(errorFacts(error), 'what a process had could not be taken back: others will repair it'),
      );
    }
    processes.delete(isolated);
    finish(isolated, {});
    if (isolated.id !== null) return pump();
    if (closed) return;
    log.error({ code, signal }, 'a process for suspects did not come up: it is tried again');
    if (timer !== null) clearTimeout(timer);
    later(keepMs);
  }

  /** A process that was stopped says nothing, and its watchdog neither: its suspect would never be over. */
  async function killSilent(): Promise<number> {
    const ids = [...processes].flatMap(({ id, suspect }) => (id !== null && (suspect !== null || closed) ? [id] : []));
    const silent = ids.length === 0 ? [] : await statements.silent({ ids, leaseMs });
    for (const { id, child, openedAt } of processes) {
      if (id === null ? performance.now() - openedAt < startMs : !silent.includes(id)) continue;
      log.warn({ pid: child.pid }, 'a process for suspects says nothing: it is killed');
      child.kill('SIGKILL');
    }
    return leaseMs;
  }
  const watch = createLoop({ name: 'isolation', log, once: killSilent });

  function ask(suspect: Omit<Suspect, 'since'>): void {
    waiting.push({ ...suspect, since: performance.now() });
    pump();
  }

  /** Nobody waits for this item any more: the process that it keeps busy goes. */
  function kill(order: ItemOrder): void {
    const isIt = (suspect: Suspect | null): boolean => suspect?.order === order;
    for (const suspect of waiting.filter(isIt)) suspect.resolve('back');
    waiting = waiting.filter((suspect) => !isIt(suspect));
    for (const { suspect, child } of processes) if (isIt(suspect)) child.kill('SIGKILL');
  }

  return {
    /** Chunks that wait here or run. */
    size: (): number => waiting.length + [...processes].filter(({ suspect }) => suspect !== null).length,

    /** `back`: the partition was given up before the chunk was claimed. A job that comes twice is run once. */
    async run(chunk: number, publishedAt: number, gone: () => boolean): Promise<'over' | 'back'> {
      const known = [...waiting, ...[...processes].map(({ suspect }) => suspect)].some((each) => each?.chunk === chunk);
      if (known) return 'over';
      if (gone()) return 'back';
      return new Promise((resolve) => ask({ chunk, order: { run: chunk, publishedAt }, gone, resolve }));
    },

    /** One item of a row that workers died with (lines/running.ts), by itself: answers its output, or throws what it threw. */
    runItem: (row: BatchPlan, input: unknown, context: ItemContext, group?: GroupStart): Promise<unknown> =>
      runItemAlone({ row, input, context, group }, { ask: (suspect) => ask({ chunk: null, ...suspect }), kill }),

    /** Some partition is being given up: its chunks that wait go, those that run start no more items. */
    dismiss(): void {
      const leaving = waiting.filter(({ gone }) => gone());
      waiting = waiting.filter((each) => !leaving.includes(each));
      for (const { resolve } of leaving) resolve('back');
      for (const isolated of processes)
        if (isolated.suspect?.chunk != null && isolated.suspect.gone())
          tell(isolated, { stop: isolated.suspect.chunk });
    },

    /** After all partitions were given up. */
    async close(): Promise<void> {
      closed = true;
      for (const each of [timer, soon]) if (each !== null) clearTimeout(each);
      await Promise.all(
        [...processes].map(async (isolated) => {
          const { child } = isolated;
          if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
          const ended = once(child, 'exit');
          disconnect(isolated);
          await ended;
        }),
      );
      await watch.stop();
    },
  };
}

export type Isolation = ReturnType<typeof createIsolation>;

/** A process that has just died cannot be told; its end says the rest. */
const tell = ({ child }: Isolated, order: Order): void => void (child.connected && child.send(order, () => undefined));

/** It drains and ends. */
const disconnect = ({ child }: Isolated): void => void (child.connected && child.disconnect());
