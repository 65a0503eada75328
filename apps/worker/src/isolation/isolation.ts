import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Statements } from '@bullpen/db';
import { errorFacts, type Log } from '@bullpen/runtime';
import { processFile } from './process-file.ts';

/** What the process is told: a chunk to run, or to start no more items of it. */
export type Order = { run: number; publishedAt: number } | { stop: number };
/** What it answers: that it can be told (the word of `runProcess`), or that a chunk is over, with so many items settled. */
export type Answer = { type: 'ready'; id: string } | { over: number; items: number };

export interface IsolationDeps {
  statements: Pick<Statements, 'abandon' | 'leave' | 'silent'>;
  leaseMs: number;
  /** Of the worker; its processes are named after it. */
  name: string;
  /** Items that were settled in such a process. */
  onItems: (items: number) => void;
  log: Log;
}

interface Suspect {
  chunk: number;
  publishedAt: number;
  /** Its partition is being given up. */
  gone: () => boolean;
  since: number;
  /** `back`: it was not claimed. */
  resolve: (fate: 'over' | 'back') => void;
}

interface Cell {
  child: ChildProcess;
  /** Its worker id, once it is ready. */
  id: string | null;
  suspect: Suspect | null;
  idle: NodeJS.Timeout | null;
}

/** Processes of one worker at most; a second one only when a suspect has waited this long for the first. */
const cellsMax = 4;
const patienceMs = 1000;
/** An idle process ends after this long; one that could not start is tried again after the same. */
const keepMs = 3000;

/**
 * Runs suspects, each alone in a process of this worker's, so that one that kills takes nothing along, and one that
 * takes long keeps nobody waiting. The processes come when there is a suspect, and go.
 */
export function createIsolation({ statements, leaseMs, name, onItems, log }: IsolationDeps) {
  let waiting: Suspect[] = [];
  const cells = new Set<Cell>();
  let timer: NodeJS.Timeout | null = null;
  let closed = false;

  /** Gives each free process a suspect, and opens one when they wait for too long. */
  function pump(): void {
    const there = [...cells].filter(({ child }) => child.connected);
    for (const cell of there) if (cell.id !== null && cell.suspect === null) occupy(cell);
    const [first] = waiting;
    if (first === undefined || closed || there.length >= cellsMax || timer !== null) return;
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

  function occupy(cell: Cell): void {
    const suspect = waiting.shift();
    if (suspect === undefined) {
      cell.idle ??= setTimeout(() => disconnect(cell), keepMs);
      return;
    }
    if (cell.idle !== null) clearTimeout(cell.idle);
    cell.idle = null;
    cell.suspect = suspect;
    tell(cell, { run: suspect.chunk, publishedAt: suspect.publishedAt });
  }

  function open(): void {
    const child = fork(fileURLToPath(processFile), [`${name}-isolated`], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const cell: Cell = { child, id: null, suspect: null, idle: null };
    cells.add(cell);
    log.info({ pid: child.pid }, 'a suspect runs in a process of its own');
    child.on('message', (answer: Answer) => {
      if ('type' in answer) cell.id = answer.id;
      else leave(cell, answer.items);
      pump();
    });
    child.on('error', (error) => {
      log.error(errorFacts(error), 'a process for suspects');
      // Without a process there is no 'exit': too many processes, no memory.
      if (child.pid === undefined) void bury(cell, null, null);
    });
    // Not 'close', which does not come after a disconnect.
    child.once('exit', (code, signal) => void bury(cell, code, signal));
    later(patienceMs);
  }

  /** Its suspect is over, however it went. */
  function leave(cell: Cell, items: number): void {
    onItems(items);
    cell.suspect?.resolve('over');
    cell.suspect = null;
  }

  /**
   * What the process had in hand goes back at once, with a crash more: it had nothing but the suspect. Where it has
   * settled that before its end, nothing is left to take from it.
   */
  async function bury(cell: Cell, code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    if (cell.idle !== null) clearTimeout(cell.idle);
    if (cell.id !== null && cell.suspect !== null) {
      log.warn({ chunk: cell.suspect.chunk, code, signal }, 'a process ended with its suspect');
      await statements.abandon({ worker: cell.id, crashed: true });
      await statements.leave(cell.id);
    }
    cells.delete(cell);
    leave(cell, 0);
    if (cell.id !== null) pump();
    else if (timer === null) later(keepMs);
  }

  /** A process that was stopped says nothing, and its watchdog neither: its suspect would never be over. */
  async function killSilent(): Promise<void> {
    const known = [...cells].filter(({ id, suspect }) => id !== null && (suspect !== null || closed));
    if (known.length === 0) return;
    const silent = await statements.silent({ ids: known.map(({ id }) => id!), leaseMs });
    for (const { id, child } of known) {
      if (!silent.includes(id!)) continue;
      log.warn({ pid: child.pid }, 'a process for suspects was not seen for three leases: it is killed');
      child.kill('SIGKILL');
    }
  }
  const watch = setInterval(() => {
    killSilent().catch((error: unknown) => log.debug(errorFacts(error), 'a look at processes for suspects'));
  }, leaseMs);

  return {
    /** Chunks that wait here or run. */
    size: (): number => waiting.length + [...cells].filter(({ suspect }) => suspect !== null).length,

    /** `back`: the partition was given up before the chunk was claimed. A job that comes twice is run once. */
    async run(chunk: number, publishedAt: number, gone: () => boolean): Promise<'over' | 'back'> {
      const known = [...waiting, ...[...cells].map(({ suspect }) => suspect)].some((each) => each?.chunk === chunk);
      if (known) return 'over';
      if (gone()) return 'back';
      return new Promise((resolve) => {
        waiting.push({ chunk, publishedAt, gone, since: performance.now(), resolve });
        pump();
      });
    },

    /** Some partition is being given up: its chunks that wait go, those that run start no more items. */
    dismiss(): void {
      const leaving = waiting.filter(({ gone }) => gone());
      waiting = waiting.filter((each) => !leaving.includes(each));
      for (const { resolve } of leaving) resolve('back');
      for (const cell of cells) if (cell.suspect?.gone()) tell(cell, { stop: cell.suspect.chunk });
    },

    /** After all partitions were given up. */
    async close(): Promise<void> {
      closed = true;
      if (timer !== null) clearTimeout(timer);
      await Promise.all(
        [...cells].map(async (cell) => {
          const { child } = cell;
          if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
          const ended = once(child, 'exit');
          disconnect(cell);
          await ended;
        }),
      );
      clearInterval(watch);
    },
  };
}

export type Isolation = ReturnType<typeof createIsolation>;

/** A process that has just died cannot be told; its end says the rest. */
const tell = ({ child }: Cell, order: Order): void => void (child.connected && child.send(order, () => undefined));

/** It drains and ends. */
const disconnect = ({ child }: Cell): void => void (child.connected && child.disconnect());
