import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiError, UnreachableError } from '@bullpen/api';
import { InvalidArgumentError } from 'commander';
import { printLines, type Context } from './context.ts';
import { exitCode, explain, Failure } from './failure.ts';
import { listenForStop } from './processes/signals.ts';
import { durationText } from './text/numbers.ts';

/** Before each further try: half a minute together, as long as a producer takes that starts again on a busy machine. */
const waitsMs = [1000, 2000, 4000, 8000, 15_000];

/** Parses `--key`. */
export function idempotencyKey(text: string): string {
  if (/^[\x21-\x7e]{1,200}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be 1 to 200 visible ASCII characters.');
}

export const newKey = (): string => `cli-${randomUUID()}`;

export interface SendRules {
  key: string;
  /** False of what is read from stdin: it cannot be sent twice. */
  repeatable: boolean;
  waitsMs?: readonly number[];
}

/**
 * Sends a request, and again under the same key when the connection breaks: the service takes it once. When nobody answers
 * the first time, nothing was sent, and that is told at once. Ctrl-C gives up.
 */
export async function sendUnderKey<Answer>(
  context: Context,
  rules: SendRules,
  send: (signal: AbortSignal) => Promise<Answer>,
): Promise<Answer> {
  const stop = listenForStop(() => process.exit(exitCode.interrupted));
  const over = new AbortController();
  void stop.asked.then(() => over.abort());
  try {
    return await persist(context, rules, () => send(over.signal), over.signal);
  } catch (error) {
    if (!stop.isAsked()) throw error;
    throw new Failure(`Stopped. ${unknownHint(rules)}`, exitCode.interrupted);
  } finally {
    stop.dispose();
  }
}

async function persist<Answer>(
  { stderr }: Context,
  rules: SendRules,
  send: () => Promise<Answer>,
  signal: AbortSignal,
): Promise<Answer> {
  const waits = rules.repeatable ? (rules.waitsMs ?? waitsMs) : [];
  let broke = false;
  for (let tries = 0; ; tries += 1) {
    try {
      return await send();
    } catch (error) {
      broke ||= error instanceof UnreachableError && error.why !== 'silent';
      if (signal.aborted || !mayPass(error, broke)) throw error;
      const { lines } = explain(error);
      const waitMs = waits[tries];
      if (waitMs === undefined) throw broke ? new Failure([...lines, unknownHint(rules)].join('\n')) : error;
      const next = `Sending it again under the same key in ${durationText(waitMs)} (${tries + 1} of ${waits.length}).`;
      printLines(stderr, [`${lines[0]}. ${next}`]);
      await delay(waitMs, undefined, { signal });
    }
  }
}

/** A proxy's words for a service that is away, and the service's own for one that is busy. */
const statusesThatPass: ReadonlySet<number> = new Set([502, 503, 504]);

/** Whether the same request may be taken later. A connection that broke may still count as one whose request is read. */
function mayPass(error: unknown, broke: boolean): boolean {
  if (error instanceof UnreachableError) return broke;
  if (!(error instanceof ApiError)) return false;
  return statusesThatPass.has(error.status) || error.problem.type === '/problems/in-progress';
}

const unknownHint = ({ key, repeatable }: SendRules): string =>
  `${repeatable ? 'Nobody' : 'It cannot be read from stdin again, and nobody'} knows whether it was taken. ` +
  `Look: pnpm bullpen list. Or send the same once more with --key ${key}: it is then taken once.`;
