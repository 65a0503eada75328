/** The field of an input that a group key is in. */
export const groupField = (groupBy: string): string => pathOf(groupBy)[0]!;

/** What a group key is read by: a field of the input, or a JSON pointer (RFC 6901) where it begins with `/`. */
function pathOf(groupBy: string): readonly string[] {
  if (!groupBy.startsWith('/')) return [groupBy];
  const tokens = groupBy.slice(1).split('/');
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/**
 * The group key of an input, as it stands in its JSON before any schema has changed it. A key is text: a string itself, a number
 * or a boolean as JSON writes it, so that 1 and "1" are one group, whose items may come from CSV and from JSON. Missing, null, an
 * object or a list is no key: null.
 *
 * The path is taken apart once: a worker asks for each item, in some 20 ns.
 */
export function createGroupKey(groupBy: string): (input: unknown) => string | null {
  const path = pathOf(groupBy);
  const [field] = path;
  if (path.length === 1) return (input) => textOf(within(input, field!));
  return (input) => {
    let value = input;
    for (const token of path) value = within(value, token);
    return textOf(value);
  };
}

const element = /^(?:0|[1-9][0-9]*)$/;

/** What came by a prototype is an object or a function, and so no key; but a list has a length. */
function within(value: unknown, token: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value) && !element.test(token)) return undefined;
  return (value as Record<string, unknown>)[token];
}

function textOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
}

/**
 * The line of a group: its partition, the same for a key for ever. FNV-1a (32 bits, Fowler, Noll and Vo) over the UTF-16 units of
 * the key, then the finalizer of murmur3, whose low bits are good enough for a remainder.
 */
export function lineOf(key: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at += 1) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % partitions;
}
