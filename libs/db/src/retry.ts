import { setTimeout as sleep } from 'node:timers/promises';
import { isTlsCode } from '@bullpen/runtime';

/**
 * What an error of a statement asks for. All statements here may be repeated, so what decides is only whether it helps.
 *
 * | verdict | SQLSTATE | then |
 * |---|---|---|
 * | again | 40001 40P01 55P03 | the whole statement, at most 5 times, 20…500 ms apart |
 * | reconnect | 08* 57P01–57P03 57P05 53300 25006 25P02, a call on a socket that failed, a certificate that is refused | until the server is back, within the caller's patience; after 25* on a new connection |
 * | once | 57014 | one more time |
 * | pause | 53100 53200 | as reconnect, but slowly |
 * | value | 22* 54* | the caller looks for the guilty item |
 * | bug | 23* 42* and all else | thrown |
 *
 * Tries are counted by verdict: an outage uses up none of those for a conflict. A caller whose patience has no end gets no `again` and no
 * `once` either: from then on the statement is tried each second. A worker that ended for a lock that somebody holds would have
 * its death charged to all that it has in hand.
 */
export type Verdict = 'again' | 'reconnect' | 'once' | 'pause' | 'value' | 'bug';

/** Also without the name of a call: postgres.js has some of its own, and of several addresses only the code is told. */
const socketCodes = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'EACCES',
  'EADDRNOTAVAIL',
  'EAI_AGAIN',
  'EAI_FAIL',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EMFILE',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPERM',
  'EPIPE',
  'ETIMEDOUT',
]);

/** Socket codes that say that nothing was sent, whatever the call. */
const unsentCodes = new Set(['CONNECT_TIMEOUT', 'EAI_AGAIN', 'EAI_FAIL', 'ECONNREFUSED', 'EMFILE', 'ENOTFOUND']);

/** Calls before anything can be sent. Of an open connection a host may be unreachable, too: then it may have come there. */
const unsentCalls = new Set(['connect', 'getaddrinfo']);

/** A session keeps these: a pool would go on with it when the server takes writes again. */
const staleCodes = new Set(['25006', '25P02']);

const unsure = new WeakSet<object>();

/**
 * Whether a statement that failed with this error may have committed all the same: some try of it lost its connection
 * after it was sent. A server that answered with an error has rolled back.
 */
export const mayHaveCommitted = (error: unknown): boolean => unsure.has(Object(error));

const leavesUnsure = (error: unknown): boolean =>
  isOfSocket(error) && !unsentCodes.has(codeOf(error)) && !unsentCalls.has(callOf(error));

/** Any call of the system is one on the socket. */
const isOfSocket = (error: unknown): boolean => socketCodes.has(codeOf(error)) || callOf(error) !== '';

/** The SQLSTATE or socket code; Drizzle puts the driver's error into `cause`. */
export function codeOf(error: unknown): string {
  const { cause, code } = (error ?? {}) as { cause?: { code?: unknown }; code?: unknown };
  const found = cause?.code ?? code;
  return typeof found === 'string' ? found : '';
}

/** The call of the system that failed; of several addresses, that of the first. */
function callOf(error: unknown): string {
  const { cause = error } = (error ?? {}) as { cause?: unknown };
  const fault = cause instanceof AggregateError ? (cause.errors[0] as unknown) : cause;
  const { syscall } = (fault ?? {}) as { syscall?: unknown };
  return typeof syscall === 'string' ? syscall : '';
}

export function verdictOf(error: unknown): Verdict {
  const code = codeOf(error);
  if (code === '40001' || code === '40P01' || code === '55P03') return 'again';
  if (isOfSocket(error) || code.startsWith('08') || /^(57P0[1235]|53300|25006|25P02)$/.test(code)) return 'reconnect';
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
  retries: Record<Repeated, number>;
}

export const createTraffic = (): Traffic => ({
  inFlight: 0,
  retries: { again: 0, reconnect: 0, once: 0, pause: 0 },
});

export interface Patience {
  /** How long to wait for a server that is gone; Infinity for a process that has nothing else to do. */
  reconnectMs: number;
  /** Told of each repetition, for logs and counters: which it is of its verdict. */
  onRetry?: (verdict: Verdict, error: unknown, tries: number) => void;
  /** Makes the next try one on a new connection: of a session that may only read, or whose transaction has failed. */
  renew?: () => void;
  /** Where they are counted. */
  traffic?: Traffic;
}

/** Of those that a caller with an end to its patience gets to see. */
const triesMax = { again: 5, once: 1 } as const;

/** Runs a statement, again where that helps. Throws the last error. */
export async function withRetry<Result>(run: () => Promise<Result>, patience: Patience): Promise<Result> {
  const started = performance.now();
  const tries = { again: 0, reconnect: 0, once: 0, pause: 0 };
  let sent = false;
  for (;;) {
    try {
      return await counted(run, patience.traffic);
    } catch (error) {
      const verdict = verdictOf(error);
      sent ||= leavesUnsure(error);
      if (isOver(verdict, tries, performance.now() - started, patience)) {
        if (sent) unsure.add(Object(error));
        throw error;
      }
      tries[verdict] += 1;
      if (patience.traffic) patience.traffic.retries[verdict] += 1;
      if (staleCodes.has(codeOf(error))) patience.renew?.();
      patience.onRetry?.(verdict, error, tries[verdict]);
      await sleep(pauseMs(verdict, tries[verdict]));
    }
  }
}

type Repeated = Exclude<Verdict, 'value' | 'bug'>;

/** After so many tries of each kind before this one. */
function isOver(
  verdict: Verdict,
  tries: Record<Repeated, number>,
  waitedMs: number,
  { reconnectMs }: Patience,
): verdict is 'value' | 'bug' {
  if (verdict === 'value' || verdict === 'bug') return true;
  if (reconnectMs === Infinity) return false;
  if (verdict === 'again' || verdict === 'once') return tries[verdict] >= triesMax[verdict];
  return waitedMs > reconnectMs;
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

/** 20…500 ms with jitter, growing with the tries; a full server gets 1 s, and so does what others are in the way of for long. */
function pauseMs(verdict: Repeated, tries: number): number {
  if (verdict === 'pause' || ((verdict === 'again' || verdict === 'once') && tries > triesMax[verdict])) return 1000;
  return Math.min(500, 20 * 2 ** Math.min(tries, 5)) * (0.5 + Math.random() / 2);
}
