import type { IncomingHttpHeaders } from 'node:http';
import type { RequestHandler } from 'express';
import { HttpProblem } from './problem.ts';

/** What the rule looks at. */
export interface Caller {
  /** Address of the peer. */
  peer: string | undefined;
  headers: IncomingHttpHeaders;
}

const loopbackPeer = /^(::1|(::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3})$/;
/** Other names mean DNS rebinding: a page of a stranger whose name was made to point here. */
const loopbackHost = /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/i;

/**
 * The rule while there are no keys: only people and programs of this machine. Answers why a request is refused, or
 * null. A proxy in front would make everybody look local, hence its headers; a page in a browser shows itself by Origin.
 */
export function whyRefused({ peer, headers }: Caller): string | null {
  if (peer === undefined || !loopbackPeer.test(peer)) return 'Without keys only this machine may ask';
  const forwarded = Object.keys(headers).find((name) => name === 'forwarded' || name.startsWith('x-forwarded-'));
  if (forwarded !== undefined) return `Without keys no proxy may stand in front (header ${forwarded})`;
  const { host, origin } = headers;
  if (host === undefined || !loopbackHost.test(host))
    return 'Without keys the Host must be localhost, 127.0.0.1 or [::1]';
  const own = [`http://${host}`, `https://${host}`].map((each) => each.toLowerCase());
  if (origin !== undefined && !own.includes(origin.toLowerCase()))
    return 'Without keys no page of another origin may ask';
  return null;
}

export const guardAccess: RequestHandler = (req, _res, next) => {
  const reason = whyRefused({ peer: req.socket.remoteAddress, headers: req.headers });
  if (reason !== null) throw new HttpProblem('unauthorized', reason, { headers: { 'WWW-Authenticate': 'Bearer' } });
  next();
};
