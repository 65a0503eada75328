import { createHash } from 'node:crypto';
import type { Batch } from '@bullpen/api';

/**
 * A weak tag of a batch: of all that is known of it but the two fields that change by the clock alone. Whoever has a batch
 * with this tag has missed nothing.
 */
export function tagOf(batch: Batch): string {
  const known = { ...batch, itemsPerSecond: null, etaSeconds: null };
  return `W/"${createHash('sha256').update(JSON.stringify(known)).digest('base64url').slice(0, 22)}"`;
}

/**
 * Whether `If-None-Match` names this tag, by weak comparison (RFC 9110, 13.1.2). Express' own `req.fresh` says no to every
 * request with `Cache-Control: no-cache`, which fetch adds by itself to one with `If-None-Match`.
 */
export function hasTag(header: string | undefined, tag: string): boolean {
  if (header?.trim() === '*') return true;
  const opaque = tag.slice(tag.indexOf('"'));
  return [...(header ?? '').matchAll(/"[^"]*"/g)].some(([each]) => each === opaque);
}
