import type { ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

export interface ServerPlan {
  name: string;
  /** Starts the process, on the same port each time once it was ready. */
  start(): Promise<ChildProcess>;
  ready(): Promise<boolean>;
  /** Called when the process ended before it was ever ready. Throws to give up; returns to try again. */
  failedStart(tries: number): Promise<void>;
  stopSignal: NodeJS.Signals;
  /** After this long a stop becomes SIGKILL. */
  stopTimeoutMs: number;
}

export interface KeptServer {
  stop(): Promise<void>;
}

const POLL_MS = 20;
const SLOW_START_MS = 5_000;
const RESTART_DELAY_MS = { first: 100, max: 5_000 };

interface Running {
  child: ChildProcess;
  /** Resolves with how it ended: an exit code, a signal or a spawn error. */
  ended: Promise<string>;
  isOver: () => boolean;
}

/** Starts a server, waits until it answers, and from then on starts it again whenever it dies, for as long as it takes. */
export async function keepServer(plan: ServerPlan, say: (line: string) => void): Promise<KeptServer> {
  const stopping = new AbortController();
  let running = await firstStart(plan, say);

  const watching = (async () => {
    for (;;) {
      const how = await running.ended;
      if (stopping.signal.aborted) return;
      say(`${plan.name} died (${how}); starting it again on the same port.`);
      for (let wait = RESTART_DELAY_MS.first; ; wait = Math.min(wait * 2, RESTART_DELAY_MS.max)) {
        await delay(wait, undefined, { signal: stopping.signal }).catch(() => {});
        if (stopping.signal.aborted) return;
        // A full disk or process table is no reason to give up either.
        const child = await plan.start().catch(() => null);
        if (child) running = observe(child);
        if (stopping.signal.aborted) return;
        if (!child) continue;
        if (await untilReady(plan, running, () => {})) break;
      }
    }
  })();

  const stop = async () => {
    stopping.abort();
    // One that is just being started appears after this look; the watch then ends, and the second look sees it.
    await endProcess(running, plan);
    await watching;
    await endProcess(running, plan);
  };
  return { stop };
}

async function firstStart(plan: ServerPlan, say: (line: string) => void): Promise<Running> {
  for (let tries = 1; ; tries++) {
    const running = observe(await plan.start());
    if (await untilReady(plan, running, say)) return running;
    await plan.failedStart(tries);
  }
}

/** True when it answers, false when it ended before. A start may take minutes when a large log must be replayed, so there is no deadline. */
async function untilReady(plan: ServerPlan, running: Running, say: (line: string) => void): Promise<boolean> {
  const began = Date.now();
  let told = false;
  while (!running.isOver()) {
    if (await plan.ready()) return !running.isOver();
    if (!told && Date.now() - began > SLOW_START_MS) {
      told = true;
      say(`${plan.name} still starts (it may be replaying its log after a crash); waiting.`);
    }
    await delay(POLL_MS);
  }
  return false;
}

function observe(child: ChildProcess): Running {
  let over = false;
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  }).finally(() => {
    over = true;
  });
  return { child, ended, isOver: () => over };
}

async function endProcess({ child, ended, isOver }: Running, plan: ServerPlan): Promise<void> {
  if (isOver()) return;
  child.kill(plan.stopSignal);
  const late = setTimeout(() => child.kill('SIGKILL'), plan.stopTimeoutMs);
  await ended;
  clearTimeout(late);
}
