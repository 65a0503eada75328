import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createLogRate } from './faults/log-rate.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export type App = 'producer' | 'worker';

/** A real process of one of the apps. `restart` starts it anew, after a kill too. */
export interface AppProcess {
  app: App;
  pid: () => number;
  /** What it said last, for a failing test. */
  log: () => string;
  /** Lines that it said more than ten times in some second, and how often. */
  loud: () => [string, number][];
  facts: () => Record<string, unknown>;
  /** How it ended where nobody had asked for it, since it was asked last: neither by a signal nor by waiting for its end. */
  deaths: () => string[];
  signal: (signal: NodeJS.Signals) => void;
  /** Sends the signal and waits for the end. Answers the exit code, null after a kill. */
  end: (signal: NodeJS.Signals) => Promise<number | null>;
  /** Waits until it has ended by itself. */
  over: () => Promise<number | null>;
  /** With these settings beside its own. */
  restart: (more?: Record<string, string>) => Promise<void>;
}

/** The built app under `npm test`, its sources where vitest was called by hand. */
function entryOf(app: App): string[] {
  const build = process.env['BULLPEN_BUILD'];
  return build === undefined
    ? ['--import', 'tsx', `apps/${app}/src/main.ts`]
    : ['--enable-source-maps', `${build}/${app}.mjs`];
}

/** Starts an app and waits until it says that it is ready. `supervised`: it is started again whenever it ends by itself. */
export async function startApp(app: App, env: Record<string, string>, supervised = false): Promise<AppProcess> {
  let child: ChildProcess;
  let over = false;
  /** Whether its end was asked for. */
  let isAsked = false;
  const deaths: string[] = [];
  let facts: Record<string, unknown> = {};
  const lines: string[] = [];
  const rate = createLogRate();

  async function start(more: Record<string, string> = {}): Promise<void> {
    [over, isAsked] = [false, false];
    const mine = (child = spawn(process.execPath, entryOf(app), {
      cwd: root,
      env: { ...process.env, LOG_LEVEL: 'info', ...env, ...more },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    }));
    mine.once('exit', (code, signal) => !isAsked && deaths.push(`ended with ${signal ?? code}`));
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        const said = text.split('\n').filter(Boolean);
        for (const line of said) rate.add(line);
        lines.push(...said);
        lines.splice(0, Math.max(0, lines.length - 300));
      });
    }
    const exited = once(child, 'exit').then(([code]) => {
      throw new Error(`${app} ended with ${code} before it was ready:\n${lines.slice(-20).join('\n')}`);
    });
    exited.catch(() => undefined);
    // One that dies before it is ready is started again too.
    if (supervised) child.once('exit', () => !over && void start().catch(() => undefined));
    [facts] = (await Promise.race([once(child, 'message'), exited])) as [Record<string, unknown>];
  }

  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  async function waitForEnd(): Promise<number | null> {
    const ending = child;
    if (!isOver()) await once(ending, 'exit');
    return ending.exitCode;
  }

  await start();
  return {
    app,
    pid: () => child.pid!,
    log: () => lines.join('\n'),
    loud: () => rate.loud(),
    facts: () => facts,
    deaths: () => deaths.splice(0),
    signal: (signal) => {
      isAsked ||= !['SIGSTOP', 'SIGCONT'].includes(signal);
      child.kill(signal);
    },
    end: async (signal) => {
      [over, isAsked] = [true, true];
      if (!isOver()) child.kill(signal);
      return await waitForEnd();
    },
    over: async () => {
      const code = await waitForEnd();
      deaths.length = 0;
      return code;
    },
    restart: start,
  };
}
