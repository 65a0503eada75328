import { Fail, Retry, retryAfterMs } from '@bullpen/handlers';
import { z } from 'zod';

export interface Question {
  method: 'GET' | 'POST';
  /** Below the URL of the API. */
  path: string;
  body?: object;
  /** Idempotency-Key: repeated under it, the call has its effect once. */
  key?: string;
}

/** undici, by the first call only: each process knows this handler, and it takes 60 ms of cpu to load. Before a slot is taken, not after. */
export const loadPools = () => import('./pools.ts');

/** What the API says of a fault. */
const faultSchema = z.object({ code: z.string().optional(), message: z.string().optional() });

/**
 * Calls the API and answers what it said. Throws `Retry` for all where it asks everybody to wait (429, 503), `Fail` with its code where
 * it refuses this call (other 4xx), and an error, after which the item is tried again, where it is out of order.
 */
export async function ask<Answer>(
  api: string,
  { method, path, body, key }: Question,
  { schema, signal }: { schema: z.ZodType<Answer>; signal?: AbortSignal },
): Promise<Answer> {
  const { origin, pathname } = new URL(api);
  const { poolOf } = await loadPools();
  const answer = await poolOf(origin).request({
    method,
    path: pathname.replace(/\/$/, '') + path,
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(key !== undefined && { 'idempotency-key': key }),
    },
    body: body === undefined ? null : JSON.stringify(body),
    signal: signal ?? null,
  });
  const text = await answer.body.text();
  const status = answer.statusCode;
  const [route] = path.split('?');
  if (status < 300) return schema.parse(jsonOf(text));
  if (status === 429 || status === 503) {
    const header = answer.headers['retry-after'];
    const afterMs = retryAfterMs(Array.isArray(header) ? header[0] : header);
    throw new Retry({ afterMs, forAll: true, message: `${method} ${route} was answered ${status}` });
  }
  const { data: fault } = faultSchema.safeParse(jsonOf(text));
  const message = `${method} ${route} was answered ${status}${fault?.message === undefined ? '' : `: ${fault.message}`}`;
  if (status >= 400 && status < 500) throw new Fail(fault?.code ?? `http-${status}`, message);
  throw new Error(message);
}

/** Undefined: it is no JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
