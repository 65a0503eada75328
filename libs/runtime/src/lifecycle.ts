import { errorFacts, isFailedQuery, placeOf } from './error-facts.ts';
import type { Log } from './log.ts';

/** Expected trouble at start: the message is a whole sentence with the way out, the process ends with 78 (EX_CONFIG) and is not started again. */
export class Refusal extends Error {
  readonly exitCode = 78;
}

/** A key press may reach a process twice, from the terminal and from its parent. */
const sameSignalMs = 250;

/**
 * Runs a process to its end: `start` opens everything and answers what to do on a stop.
 * SIGTERM and SIGINT drain once; a second one ends at once. A parent that vanished (IPC closed) drains too.
 * An uncaught error ends the process with 1: the supervisor starts it again.
 */
export async function runProcess(
  log: Log,
  drainTimeoutMs: number,
  start: () => Promise<{ ready: Record<string, unknown>; drain: () => Promise<void> }>,
): Promise<void> {
  process.on('uncaughtException', (error) => die(log, error));
  process.on('unhandledRejection', (error) => die(log, error));
  let drain: (() => Promise<void>) | null = null;
  let stoppedAt: number | null = null;
  const stop = (signal: string): void => {
    if (stoppedAt !== null && performance.now() - stoppedAt < sameSignalMs) return;
    if (stoppedAt !== null) process.exit(130);
    stoppedAt = performance.now();
    if (drain === null) process.exit(0);
    log.info({ signal, drainTimeoutMs }, 'draining');
    setTimeout(() => {
      log.warn({ drainTimeoutMs }, 'drain took too long: what is left will be repaired by others');
      process.exit(1);
    }, drainTimeoutMs).unref();
    drain().then(
      () => process.exit(0),
      (error) => die(log, error),
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  if (process.send) process.on('disconnect', () => stop('parent is gone'));
  // It may have gone before we listened.
  if (process.send && !process.connected) process.exit(1);
  try {
    const started = await start();
    drain = started.drain;
    process.send?.({ type: 'ready', ...started.ready });
  } catch (error) {
    dieAtStart(log, error);
  }
}

/** What fails at the start has seen no inputs yet, and its words help. Later anybody's code may be behind it. */
function dieAtStart(log: Log, error: unknown): never {
  const { exitCode, message } = (error ?? {}) as { exitCode?: number; message?: string };
  if (exitCode === 78) for (const line of String(message).split('\n')) log.fatal(line);
  else log.fatal({ ...placeOf(error), ...errorFacts(error) }, 'the start failed');
  process.exit(exitCode ?? 1);
}

function die(log: Log, error: unknown): never {
  log.fatal({ ...placeOf(error), ...(isFailedQuery(error) ? errorFacts(error) : {}) }, 'uncaught error');
  process.exit(1);
}
