/** Throw it to fail an item for good. `code` is a short word for programs, `message` is for people. */
export class Fail extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.name = 'Fail';
    this.code = code;
  }
}

/**
 * Throw it to have an item tried again after `afterMs` instead of the usual backoff. It counts as an attempt.
 *
 * `forAll`: nobody starts an item of the batch until then, on no worker; where its handler has a rate limit, no item of the
 * handler. For a service that says that all are to wait (429). It charges the others no attempt. At most an hour.
 *
 * Throws a TypeError where `afterMs` is no finite number: like any error of a handler it has the item tried again after the usual backoff.
 */
export class Retry extends Error {
  readonly afterMs: number;
  readonly forAll: boolean;
  constructor({
    afterMs,
    forAll = false,
    message = 'asked to be tried again',
  }: {
    afterMs: number;
    forAll?: boolean;
    message?: string;
  }) {
    if (!Number.isFinite(afterMs)) throw new TypeError(`Retry takes afterMs as a number of ms, not ${String(afterMs)}`);
    super(message);
    this.name = 'Retry';
    this.afterMs = afterMs;
    this.forAll = forAll;
  }
}

/**
 * The wait that a Retry-After header asks for, in ms from now: seconds, or an HTTP date (RFC 9110, 10.2.3). `otherwise` where there
 * is none, or none that says anything.
 */
export function retryAfterMs(header: string | null | undefined, otherwise = 1000, now = Date.now()): number {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = /[a-z]/i.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? otherwise : Math.max(0, at - now);
}
