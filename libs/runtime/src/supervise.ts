import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { deathSignalPrefix, hasDeathSignal } from './services/launch.ts';

export interface SuperviseOptions {
  /** How it is called in what is said about it. */
  name: string;
  /** Node's arguments, the entry file included. */
  args: string[];
  env: NodeJS.ProcessEnv;
  say: (line: string) => void;
  /** stdin, stdout, stderr. Default: no input, our own outputs. */
  stdio?: ['ignore' | 'pipe' | 'inherit', 'ignore' | 'pipe' | 'inherit', 'ignore' | 'pipe' | 'inherit'];
  /** Default true: started again whenever it ends. */
  restart?: boolean;
  /** Called with each `{type: 'ready', …}` that the child sends, so once per start. */
  onReady?: (message: ReadyMessage) => void;
  /** Called with each new process, for its pipes. */
  onStart?: (child: ChildProcess) => void;
  /** What the child may take to drain after SIGTERM. 5 s later it is killed. */
  drainTimeoutMs: number;
}

export interface ReadyMessage {
  type: 'ready';
  [fact: string]: unknown;
}

export interface Supervised {
  /** undefined between two lives. */
  pid(): number | undefined;
  /** Resolves at the first ready message; rejects when the child ended for good without one. */
  ready: Promise<void>;
  /** SIGTERM, then SIGKILL; resolves when the process is gone. May be called again. */
  stop(): Promise<void>;
  /** Resolves with the exit code (128 + n for signal n) once it is not started again any more. */
  ended: Promise<number>;
}

/** sysexits' EX_CONFIG: a start with the same settings would end the same way. */
const BAD_CONFIGURATION = 78;
const BACKOFF_MS = { first: 200, max: 10_000, resetAfter: 30_000 };
const KILL_AFTER_MS = 5_000;
/** Lives without a ready message after which it will not come to one: 3 s of waiting between them. */
const STILLBORN_MAX = 5;

interface End {
  code: number;
  /** 'exit code 1' or 'SIGKILL'. */
  how: string;
}

/**
 * Runs a Node process with an IPC channel and starts it again when it dies: after 0.2 s, doubling to 10 s, and from the start again
 * once it has lived for 30 s. One that dies five times without ever having been ready is given up. It has a session of its own, so that of a Ctrl-C only we hear, and is stopped by us alone.
 */
export function supervise(options: SuperviseOptions): Supervised {
  const { name, say, restart = true, drainTimeoutMs } = options;
  const stopping = new AbortController();
  const ready = firstReady();
  let child: ChildProcess | undefined;
  let exited: Promise<End> | undefined;

  const live = async (): Promise<number> => {
    const tie = (await hasDeathSignal()) ? deathSignalPrefix('KILL') : [];
    let lives = 0;
    for (let wait = BACKOFF_MS.first; ; wait = Math.min(wait * 2, BACKOFF_MS.max)) {
      if (stopping.signal.aborted) return 0;
      const began = Date.now();
      child = start(options, tie, ready.resolve);
      exited = endOf(child);
      const end = await exited;
      child = undefined;
      if (stopping.signal.aborted) return end.code;
      lives += 1;
      const hopeless = lives >= STILLBORN_MAX && !ready.isSettled();
      // A configuration that was good once is good: then it is a server that is away for long.
      const misconfigured = end.code === BAD_CONFIGURATION && !ready.isSettled();
      if (!restart || misconfigured || hopeless) {
        if (end.code !== 0) say(`${name} ended (${end.how}).`);
        if (hopeless) say(`${name} does not get ready; its log says why.`);
        return end.code;
      }
      if (Date.now() - began >= BACKOFF_MS.resetAfter) wait = BACKOFF_MS.first;
      say(`${name} ended (${end.how}); starting it again in ${wait} ms.`);
      await delay(wait, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return end.code;
    }
  };

  const ended = live();
  ended.then((code) => ready.reject(new Error(`${name} ended (exit code ${code}) before it was ready`)), ready.reject);

  const stop = async () => {
    stopping.abort();
    if (child && exited) await terminate(child, exited, drainTimeoutMs + KILL_AFTER_MS);
    await ended;
  };
  return { pid: () => child?.pid, ready: ready.promise, stop, ended };
}

function start(
  { args, env, stdio = ['ignore', 'inherit', 'inherit'], onReady, onStart }: SuperviseOptions,
  tie: string[],
  markReady: () => void,
): ChildProcess {
  const [command = '', ...rest] = [...tie, process.execPath, ...args];
  const channels: StdioOptions = [...stdio, 'ipc'];
  const child = spawn(command, rest, { detached: true, env, stdio: channels });
  child.on('message', (message) => {
    if (!isReady(message)) return;
    markReady();
    onReady?.(message);
  });
  onStart?.(child);
  return child;
}

const isReady = (message: unknown): message is ReadyMessage =>
  typeof message === 'object' && message !== null && 'type' in message && message.type === 'ready';

const endOf = (child: ChildProcess): Promise<End> =>
  new Promise((resolve) => {
    // Without a process there is no 'exit': too many processes, no memory.
    child.once('error', (error) => {
      if (child.pid === undefined) resolve({ code: 1, how: error.message });
    });
    child.once('exit', (code, signal) => {
      resolve(
        signal ? { code: 128 + constants.signals[signal], how: signal } : { code: code ?? 1, how: `exit code ${code}` },
      );
    });
  });

async function terminate(child: ChildProcess, exited: Promise<End>, killAfterMs: number): Promise<void> {
  child.kill('SIGTERM');
  const late = setTimeout(() => killGroup(child), killAfterMs);
  await exited;
  clearTimeout(late);
}

/** With what it started itself: as the leader of its session it has a group of its own. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
}

/** Promise.withResolvers is not in Node 20. Nobody has to wait for it, so a rejection is not left unhandled. */
function firstReady(): {
  promise: Promise<void>;
  resolve: () => void;
  reject: (error: Error) => void;
  isSettled: () => boolean;
} {
  let settled = false;
  let resolve: () => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  promise.then(
    () => (settled = true),
    () => (settled = true),
  );
  return { promise, resolve, reject, isSettled: () => settled };
}
