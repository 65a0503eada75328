import { createHmac } from 'node:crypto';
import { Client } from 'undici';
import { AddressRefused, checkedLookup, type Resolve } from './resolve.ts';
import { type UrlRules, whyNotUrl } from './url.ts';

/** Of an answer so much is read, so that a usual one ends in peace; the rest is cut off. */
const readMaxBytes = 64 * 1024;
const readMaxMs = 1000;

export interface Letter {
  url: string;
  secret: string;
  /** The same for all tries. */
  delivery: string;
  /** JSON text. */
  body: string;
}

/** `status` null: there was no answer. `error` null: it was taken. */
export interface Posted {
  status: number | null;
  error: string | null;
}

/** `t=<unix seconds>,v1=<hex>`: the HMAC-SHA256 of `<t>.<body>` by the secret. */
function signatureOf(secret: string, seconds: number, body: string): string {
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`;
}

/**
 * Posts a letter once, on a connection of its own, within `timeoutMs`. Follows no redirect, takes no proxy. Never rejects: what
 * came of it is the answer.
 */
export async function post(
  letter: Letter,
  { resolve, timeoutMs, ...rules }: UrlRules & { resolve: Resolve; timeoutMs: number },
): Promise<Posted> {
  // Anew each time: the setting may have changed since it was submitted.
  const why = whyNotUrl(letter.url, rules);
  if (why !== null) return { status: null, error: `the URL ${why}` };
  try {
    const status = await request(letter, { resolve, timeoutMs, ...rules });
    return { status, error: status >= 200 && status < 300 ? null : whyNot(status) };
  } catch (error) {
    return { status: null, error: reasonOf(error, timeoutMs) };
  }
}

async function request(
  { url: text, secret, delivery, body }: Letter,
  { resolve, timeoutMs, ...rules }: UrlRules & { resolve: Resolve; timeoutMs: number },
): Promise<number> {
  const url = new URL(text);
  const lookup = checkedLookup((name) => resolve(name.replace(/\.$/, '')), {
    ...rules,
    plain: url.protocol === 'http:',
  });
  const client = new Client(url.origin, {
    connect: { lookup, timeout: timeoutMs, rejectUnauthorized: true },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxHeaderSize: 16 * 1024,
  });
  try {
    const answer = await client.request({
      method: 'POST',
      path: url.pathname + url.search,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'bullpen',
        'bullpen-delivery': delivery,
        'bullpen-signature': signatureOf(secret, Math.floor(Date.now() / 1000), body),
      },
      body,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const enough = { limit: readMaxBytes, signal: AbortSignal.timeout(readMaxMs) };
    await answer.body.dump(enough).catch(() => undefined);
    return answer.statusCode;
  } finally {
    await client.destroy();
  }
}

const whyNot = (status: number): string =>
  status >= 300 && status < 400
    ? `it was answered ${status}, and redirects are not followed`
    : `it was answered ${status}`;

/** Codes and no messages: these hold addresses, which are nobody's business who submits. */
function reasonOf(error: unknown, timeoutMs: number): string {
  if (error instanceof AddressRefused) return error.message;
  const { name, code } = error as { name?: string; code?: unknown };
  const isLate = name === 'TimeoutError' || code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_CONNECT_TIMEOUT';
  if (isLate) return `there was no answer within ${timeoutMs} ms`;
  return `it could not be reached (${typeof code === 'string' ? code : name})`;
}
