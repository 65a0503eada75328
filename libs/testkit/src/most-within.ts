/** The most of these times, in ms, that any window of so many ms holds, of a second unless said. */
export function mostWithin(times: readonly number[], ms = 1000): number {
  const sorted = [...times].sort((a, b) => a - b);
  let first = 0;
  return sorted.reduce((found, time, at) => {
    while (time - sorted[first]! >= ms) first += 1;
    return Math.max(found, at - first + 1);
  }, 0);
}
