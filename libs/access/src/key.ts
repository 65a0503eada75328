import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { apiKeyPattern } from '@bullpen/api';
import type { ApiKeyRow } from '@bullpen/db';

/** A new key: 60 random bits by which it is called, and 192 that only its holder knows. */
export function makeKey(): { id: string; key: string } {
  const id = randomBytes(8).toString('hex').slice(0, 15);
  return { id, key: `bp_${id}_${randomBytes(24).toString('hex')}` };
}

/** What is kept of a key. Throws where it is none. */
export function rowOfKey(key: string): Pick<ApiKeyRow, 'id' | 'hash'> {
  const [, id] = apiKeyPattern.exec(key) ?? [];
  if (id === undefined) throw new Error('this is no API key');
  return { id, hash: hashOf(key) };
}

const hashOf = (key: string): string => createHash('sha256').update(key).digest('hex');

/** Whether a key is the one whose hash is kept, in a time that does not tell how much of it fits. */
export const isKeyOf = (key: string, { hash }: Pick<ApiKeyRow, 'hash'>): boolean =>
  timingSafeEqual(Buffer.from(hashOf(key), 'hex'), Buffer.from(hash, 'hex'));

const bearer = /^Bearer +(\S+)$/i;
const basic = /^Basic +([A-Za-z0-9+/=]+)$/i;

/**
 * The key in the header Authorization: `Bearer <key>`, or, where a browser asks for a page (`basicToo`), the password of `Basic`, under whatever
 * name. Null: there is none.
 */
export function keyIn(authorization: string | undefined, basicToo: boolean): string | null {
  const [, token] = bearer.exec(authorization ?? '') ?? [];
  if (token !== undefined) return token;
  const [, pair] = basicToo ? (basic.exec(authorization ?? '') ?? []) : [];
  if (pair === undefined) return null;
  const text = Buffer.from(pair, 'base64').toString();
  return text.slice(text.indexOf(':') + 1);
}
