import { setTimeout as sleep } from 'node:timers/promises';
import { isTlsCode } from '@bullpen/runtime';

/**
 * What an error of a statement asks for. All statements here may be repeated, so what decides is only whether it helps.
 *
 * | verdict | SQLSTATE | then |
 * |---|---|---|
 * | again | 40001 40P01 55P03 | the whole statement, at most 5 times, 20…500 ms apart |
 * | reconnect | 08* 57P01–57P03 53300 25006 25P02, a dead socket, a certificate that is refused | until the server is back, within the caller's patience |
 * | once | 57014 | one more time |
 * | pause | 53100 53200 | as reconnect, but slowly |
 * | value | 22* 54* | the caller looks for the guilty item |
 * | bug | 23* 42* and all else | thrown |
 */
export type Verdict = 'again' | 'reconnect' | 'once' | 'pause' | 'value' | 'bug';

const socketCodes = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** Socket codes that say that nothing was sent. */
const unsentCodes = new Set([
  'ECONNREFUSED',
  'CONNECT_TIMEOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

const unsure = new WeakSet<object>();

/**
 * Whether a statement that failed with this error may have committed all the same: some try of it lost its connection
 * after it was sent. A server that answered with an error has rolled back.
 */
export const mayHaveCommitted = (error: unknown): boolean => unsure.has(Object(error));

const leavesUnsure = (error: unknown): boolean => {
  const code = codeOf(error);
  return socketCodes.has(code) && !unsentCodes.has(code);
};

/** The SQLSTATE or socket code; Drizzle puts the driver's error into `cause`. */
export function codeOf(error: unknown): string {
  const { cause, code } = (error ?? {}) as { cause?: { code?: unknown }; code?: unknown };
  const found = cause?.code ?? code;
  return typeof found === 'string' ? found : '';
}

export function verdictOf(error: unknown): Verdict {
  const code = codeOf(error);
  if (code === '40001' || code === '40P01' || code === '55P03') return 'again';
  if (socketCodes.has(code) || code.startsWith('08') || /^(57P0[1-3]|53300|25006|25P02)$/.test(code))
    return 'reconnect';
  // A start refuses it. Who runs already waits: it may be a certificate that was renewed too late.
  if (isTlsCode(code)) return 'reconnect';
  // 2200H: the sequence of batch numbers has reached the last partition. accept handles it.
  if (code === '57014') return 'once';
  if (code === '53100' || code === '53200') return 'pause';
  if ((code.startsWith('22') && code !== '2200H') || code.startsWith('54')) return 'value';
  return 'bug';
}

/** Statements of a process: those on their way or waiting for a connection, and how often one was tried again, by verdict. */
export interface Traffic {
  inFlight: number;
  retries: Record<Exclude<Verdict, 'value' | 'bug'>, number>;
}

export const createTraffic = (): Traffic => ({
  inFlight: 0,
  retries: { again: 0, reconnect: 0, once: 0, pause: 0 },
});

export interface Patience {
  /** How long to wait for a server that is gone; Infinity for a process that has nothing else to do. */
  reconnectMs: number;
  /** Told of each repetition, for logs and counters. */
  onRetry?: (verdict: Verdict, error: unknown, tries: number) => void;
  /** Where they are counted. */
  traffic?: Traffic;
}

const triesMax = { again: 5, once: 1, reconnect: Infinity, pause: Infinity, value: 0, bug: 0 } as const;

/** Runs a statement, again where that helps. Throws the last error. */
export async function withRetry<Result>(run: () => Promise<Result>, patience: Patience): Promise<Result> {
  const started = performance.now();
  let sent = false;
  for (let tries = 1; ; tries += 1) {
    try {
      return await counted(run, patience.traffic);
    } catch (error) {
      const verdict = verdictOf(error);
      sent ||= leavesUnsure(error);
      const waited = performance.now() - started;
      const out = tries > triesMax[verdict] || (triesMax[verdict] === Infinity && waited > patience.reconnectMs);
      if (out && sent) unsure.add(Object(error));
      if (out) throw error;
      if (patience.traffic && verdict !== 'value' && verdict !== 'bug') patience.traffic.retries[verdict] += 1;
      patience.onRetry?.(verdict, error, tries);
      await sleep(pauseMs(verdict, tries));
    }
  }
}

async function counted<Result>(run: () => Promise<Result>, traffic: Traffic | undefined): Promise<Result> {
  if (traffic === undefined) return run();
  traffic.inFlight += 1;
  try {
    return await run();
  } finally {
    traffic.inFlight -= 1;
  }
}

/** 20…500 ms with jitter, growing with the tries; a full server gets 1 s. */
const pauseMs = (verdict: Verdict, tries: number): number =>
  verdict === 'pause' ? 1000 : Math.min(500, 20 * 2 ** Math.min(tries, 5)) * (0.5 + Math.random() / 2);
