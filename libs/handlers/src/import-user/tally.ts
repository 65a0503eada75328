/** What became of a user. */
export interface Imported {
  userId: string;
  organisationId: string;
  /** Its organisation was known. */
  cached: boolean;
}

/** What would be called, in a dry run. */
export interface Planned {
  would: string[];
}

/** Users whose organisation was known, users whose organisation was asked for, and users of a dry run. */
interface Tally {
  hits: number;
  misses: number;
  planned: number;
}

export const emptyTally = (): Tally => ({ hits: 0, misses: 0, planned: 0 });

export function addOutcome({ hits, misses, planned }: Tally, outcome: Imported | Planned): Tally {
  if ('would' in outcome) return { hits, misses, planned: planned + 1 };
  return outcome.cached ? { hits: hits + 1, misses, planned } : { hits, misses: misses + 1, planned };
}

export const mergeTallies = (a: Tally, b: Tally): Tally => ({
  hits: a.hits + b.hits,
  misses: a.misses + b.misses,
  planned: a.planned + b.planned,
});

/** Of a dry run the calls that it would take: two a user, and one more for each organisation that is not known. */
export function summaryOf({ hits, misses, planned }: Tally): object {
  if (planned > 0) return { users: planned, calls: { least: 2 * planned, most: 3 * planned } };
  const users = hits + misses;
  return { users, cacheHits: hits, cacheMisses: misses, hitRate: Math.round((hits / users) * 10_000) / 10_000 };
}
