import { isIP } from 'node:net';
import { isLoopback, mayBeCalled } from './address.ts';

export interface UrlRules {
  /** WEBHOOK_ALLOW_PRIVATE. */
  allowPrivate: boolean;
}

/** Names that stand for a machine or a network of its own (RFC 6761, 6762, 8375), and names without a dot. */
const privateName = /(^|\.)(localhost|local|internal|home\.arpa)$|^[^.]*$/;
/** Beside these only ports from here on: below are services that are no receivers. */
const portFrom = 1024;

/** The host as an address or a name: without brackets, and without the dot at the end. */
const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');

/**
 * Why a webhook is not sent to this URL, or null. It sees what the URL says, in the words of the parser that also sends: 0x7f.1
 * is 127.0.0.1 by then. What a name stands for is known when it is sent (resolve.ts).
 */
export function whyNotUrl(text: string, rules: UrlRules): string | null {
  if (/[\s\p{C}\\]/u.test(text) || !URL.canParse(text)) return 'is no URL';
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must be an https URL';
  if (url.username !== '' || url.password !== '') return 'must hold no user and no password: what is sent is signed';
  const host = hostOf(url);
  const isPlain = url.protocol === 'http:';
  if (isPlain && !(rules.allowPrivate && isOwn(host))) return 'must be https';
  if (url.port !== '' && Number(url.port) < portFrom) return `may have no port below ${portFrom}, but for 443`;
  if (isIP(host) !== 0) return mayBeCalled(host, rules) ? null : 'is no public address';
  return privateName.test(host) && !rules.allowPrivate ? 'is no public name' : null;
}

/** This machine, by its address or its name. */
const isOwn = (host: string): boolean => host === 'localhost' || (isIP(host) !== 0 && isLoopback(host));

/** Of a URL, with its port, as the database tells receivers apart. */
export const placeOf = (url: URL): string => `${hostOf(url)}:${url.port || (url.protocol === 'https:' ? 443 : 80)}`;
