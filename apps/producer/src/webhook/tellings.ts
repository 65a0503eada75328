import type { Statements, Telling } from '@bullpen/db';
import { createLoop, errorFacts, type Log, type Settings } from '@bullpen/runtime';
import { toBatch } from '../http/batch-answer.ts';
import type { Summaries } from '../http/summaries.ts';
import { type Resolve, resolveName } from './resolve.ts';

/** Tries under way at once. */
const triesMax = 64;
/** An owner with so many gets no more; one take begins as many (statements/tell.ts), so that half of all are another's at least. */
const perOwnerMax = 16;
const idleMs = 250;
/** A try may take this long, with its lookup and its connection. */
const timeoutMs = 10_000;
const backoffBaseMs = 1000;
const backoffMaxMs = 3_600_000;
/** No more tries so long after the first one. */
const patienceMs = 24 * 3_600_000;

/** With undici, which takes 60 ms of cpu to load: by the first try, for most producers have none. */
const loadPost = () => import('./post.ts');

export interface TellingDeps {
  statements: Pick<Statements, 'takeTellings' | 'tell' | 'counts'>;
  summaries: Pick<Summaries, 'read'>;
  settings: Pick<Settings, 'leaseMs' | 'webhookAllowPrivate'>;
  log: Log;
  resolve?: Resolve;
  random?: () => number;
  /** In place of the bounds above. */
  limits?: { timeoutMs?: number; backoffBaseMs?: number; patienceMs?: number };
}

/** Owners that have enough under way. */
function fullOf(underway: readonly Telling[]): string[] {
  const counts = new Map<string, number>();
  for (const { owner } of underway) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  return [...counts].filter(([, n]) => n >= perOwnerMax).map(([owner]) => owner);
}

/** Wait after a try that failed: doubled each time, at most an hour, of which half is jitter. */
export function waitMs(attempts: number, baseMs: number, random: () => number): number {
  const full = Math.min(backoffMaxMs, baseMs * 2 ** (attempts - 1));
  return Math.round(full / 2 + (full / 2) * random());
}

/**
 * Tells completions to webhooks, from now until it is stopped. Level-triggered: it looks what is due, so what a producer leaves
 * that dies in the middle of a try is told by the next one, after its lease, under the same id. Tries run beside each other.
 */
export function createTellings(deps: TellingDeps) {
  const { statements, summaries, settings, log, resolve = resolveName, random = Math.random } = deps;
  const bounds = { timeoutMs, backoffBaseMs, patienceMs, ...deps.limits };
  /** Each try that is under way. */
  const underway = new Map<Promise<void>, Telling>();

  /** The batch as it is now, as `GET` shows it, but for the params and the webhook; null: there is nothing to tell any more. */
  async function bodyOf({ id }: Telling): Promise<string | null> {
    const found = await statements.counts(id);
    if (found === null) return null;
    const { row, ...summary } = await summaries.read(found);
    const { params: _params, webhook: _webhook, ...shown } = toBatch(row, summary);
    return row.state === 'completed' ? JSON.stringify(shown) : null;
  }

  async function tell(telling: Telling): Promise<void> {
    const { no, id, url, host, secret, delivery, attempts } = telling;
    const body = await bodyOf(telling);
    if (body === null) return;
    const rules = { allowPrivate: settings.webhookAllowPrivate, resolve, timeoutMs: bounds.timeoutMs };
    const { post } = await loadPost();
    const posted = await post({ url, secret, delivery, body }, rules);
    const delivered = posted.error === null;
    const nextMs = waitMs(attempts, bounds.backoffBaseMs, random);
    const state = await statements.tell({ no, delivery, delivered, ...posted, nextMs, patienceMs: bounds.patienceMs });
    // The host and not the URL: a path may be a secret.
    const facts = { batchId: id, host, attempts, ...posted };
    if (state === 'failed') log.error(facts, 'a webhook is given up');
    else if (state === 'waiting') log.warn(facts, 'a webhook was not taken, and is tried again');
  }

  function begin(telling: Telling): void {
    const run = tell(telling)
      .catch((error: unknown) => log.error(errorFacts(error), 'a webhook could not be told, and is tried again'))
      .finally(() => {
        underway.delete(run);
        loop.nudge();
      });
    underway.set(run, telling);
  }

  async function once(): Promise<number> {
    const most = triesMax - underway.size;
    if (most === 0) return idleMs;
    const busy = [...underway.values()];
    const due = await statements.takeTellings({
      most,
      busy,
      full: fullOf(busy),
      leaseMs: bounds.timeoutMs + settings.leaseMs,
    });
    due.forEach(begin);
    return due.length > 0 ? 0 : idleMs;
  }

  const loop = createLoop({ name: 'tell webhooks', log, once });
  return {
    /** Begins no more tries, and waits for those that are under way. */
    async stop(): Promise<void> {
      await loop.stop();
      await Promise.all(underway.keys());
    },
  };
}
