const windowMs = 1000;

/** A strict limit: of the calls in any second at most `rate` are taken. Remembers when it was called. */
export function createLimit(rate) {
  /** Of all calls, and of those that were taken. */
  const calls = [];
  const taken = [];
  let first = 0;
  let most = 0;

  return {
    calls,
    /** One more call. Answers 0 where it is taken, else the ms after which one would be. */
    enter(now) {
      calls.push(now);
      while (now - calls[first] >= windowMs) first += 1;
      most = Math.max(most, calls.length - first);
      const oldest = taken.at(-rate);
      if (oldest !== undefined && now - oldest < windowMs) return oldest + windowMs - now;
      taken.push(now);
      return 0;
    },
    /** `seconds`: from the first call to the last. */
    facts: () => ({
      calls: calls.length,
      refused: calls.length - taken.length,
      mostInASecond: most,
      seconds: Math.round((calls.at(-1) ?? 0) - (calls[0] ?? 0)) / 1000,
    }),
  };
}
