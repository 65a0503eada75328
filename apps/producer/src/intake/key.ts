import { createHash, type Hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { KeyTaken, type Receipt, type Statements } from '@bullpen/db';
import type { Request } from 'express';
import { HttpProblem } from '../http/problem.ts';

/** How long a request waits for one with the same key that came first, and how often it looks. */
const waitMs = 10_000;
const everyMs = 100;

/** The header Idempotency-Key; null where there is none. */
export function keyOf(req: Request): string | null {
  const key = req.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new HttpProblem('malformed', 'The header Idempotency-Key must be 1 to 255 visible ASCII characters', {
    errors: [{ message: 'Idempotency-Key is not valid' }],
  });
}

/** A hash that has begun with all of a request that is not its body; `url` without what changes nothing that is stored. */
export function hashOf({ method, originalUrl, headers }: Request, url = originalUrl): Hash {
  const head = [method, url, headers['content-type'], headers['content-encoding'], headers['bullpen-options']];
  return createHash('sha256').update(JSON.stringify(head));
}

/**
 * Runs an accept. Where its key was used before by its owner, the receipt of that request, even where there is no room for more by now or its
 * `notBefore` has passed; where that one is still being read, it is waited for, 10 s at most.
 */
export async function underKey<Answer>(
  statements: Pick<Statements, 'receipt'>,
  owned: { owner: string; key: string | null },
  run: () => Promise<Answer>,
): Promise<{ answer: Answer } | { receipt: Receipt }> {
  const { owner, key } = owned;
  const until = performance.now() + waitMs;
  for (;;) {
    try {
      return { answer: await run() };
    } catch (error) {
      const receipt =
        error instanceof KeyTaken
          ? error.receipt
          : comesOfTime(error) && key !== null && (await statements.receipt({ owner, key }));
      if (!receipt) throw error;
      if (receipt.hash !== null) return { receipt };
      if (performance.now() > until) throw stillRead();
      await sleep(everyMs);
    }
  }
}

/** The same request may have been taken before. */
const comesOfTime = (error: unknown): boolean =>
  error instanceof TimePassed ||
  (error instanceof HttpProblem && (error.slug === 'backlog-full' || error.slug === 'no-room'));

class TimePassed extends HttpProblem {}

/** Clocks of a client and of this service may differ by so much. */
const skewMs = 60_000;

/** Refuses a batch that was to start at a time that is over. */
export function refusePast({ notBefore }: { notBefore?: string | undefined }, pointer = '/options/notBefore'): void {
  if (notBefore === undefined || Date.parse(notBefore) >= Date.now() - skewMs) return;
  throw new TimePassed(
    'invalid',
    'The batch was to start at a time that is over: leave notBefore out to start it now',
    {
      errors: [{ pointer, message: 'is in the past' }],
    },
  );
}

const stillRead = (): HttpProblem =>
  new HttpProblem('in-progress', 'A request with this Idempotency-Key is still being read', {
    headers: { 'Retry-After': '5' },
  });

/** Refuses a request that is another than the one whose key it has. */
export function refuseOther(receipt: { hash: string | null }, hash: string): void {
  if (receipt.hash === hash) return;
  throw new HttpProblem('key-reused', 'This Idempotency-Key was used for another request', {
    errors: [{ message: 'Idempotency-Key stands for another request' }],
  });
}
