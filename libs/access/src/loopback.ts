import type { IncomingHttpHeaders } from 'node:http';

/** What the rule looks at. */
export interface Asked {
  /** Address of the peer. */
  peer: string | undefined;
  headers: IncomingHttpHeaders;
}

const loopbackPeer = /^(::1|(::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3})$/;
const loopbackHost = /^(localhost|127\.0\.0\.1|\[::1\])$/;

/** The name in the header Host, in small letters, without a port. */
export const hostName = (host: string | undefined): string => (host ?? '').toLowerCase().replace(/:\d{1,5}$/, '');

export const isLoopbackName = (name: string): boolean => loopbackHost.test(name);

/**
 * The rule while there are no keys: only people and programs of this machine. Answers why a request is refused, or
 * null. A proxy in front would make everybody look local, hence its headers; a page in a browser shows itself by Origin;
 * another name in Host is DNS rebinding: a page of a stranger whose name was made to point here.
 */
export function whyNotLocal({ peer, headers }: Asked): string | null {
  if (peer === undefined || !loopbackPeer.test(peer)) return 'Without keys only this machine may ask';
  const forwarded = Object.keys(headers).find((name) => name === 'forwarded' || name.startsWith('x-forwarded-'));
  if (forwarded !== undefined) return `Without keys no proxy may stand in front (header ${forwarded})`;
  const { host, origin } = headers;
  if (host === undefined || !isLoopbackName(hostName(host)))
    return 'Without keys the Host must be localhost, 127.0.0.1 or [::1]';
  return isForeign(origin, host) ? 'Without keys no page of another origin may ask' : null;
}

/** A page of another origin asks. */
export function isForeign(origin: string | undefined, host: string | undefined): boolean {
  const own = [`http://${host}`, `https://${host}`].map((each) => each.toLowerCase());
  return origin !== undefined && !own.includes(origin.toLowerCase());
}
