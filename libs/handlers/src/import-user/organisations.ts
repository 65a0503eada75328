import type { Calls } from './calls.ts';
import { findOrganisation } from './calls.ts';

/** Ids of organisations by what they are remembered under; an LRU cache is one. */
interface Memory {
  get: (key: string) => string | undefined;
  set: (key: string, id: string) => unknown;
}

/** The organisations of one API in a memory of all. */
export const knownOrganisations = (memory: Memory, api: string) => ({
  keyOf: (name: string): string => `${api} ${name}`,
  get: (name: string): string | undefined => memory.get(`${api} ${name}`),
  set: (name: string, id: string): unknown => memory.set(`${api} ${name}`, id),
});

export type Known = ReturnType<typeof knownOrganisations>;

/** Those that an item of this worker asks for now. */
const asked = new Map<string, Promise<string>>();

/**
 * The id of an organisation: as it is remembered, or else from the API, once for all items that ask at the same time. Where the one that
 * asks has no luck, the next asks itself.
 */
export async function organisationOf(
  name: string,
  known: Known,
  calls: Calls,
): Promise<{ id: string; cached: boolean }> {
  const key = known.keyOf(name);
  for (;;) {
    const id = known.get(name);
    if (id !== undefined) return { id, cached: true };
    const other = asked.get(key);
    if (other === undefined) break;
    calls.lapse();
    await other.catch(() => undefined);
  }
  const found = findOrganisation(calls, name);
  asked.set(key, found);
  try {
    const id = await found;
    known.set(name, id);
    return { id, cached: false };
  } finally {
    asked.delete(key);
  }
}
