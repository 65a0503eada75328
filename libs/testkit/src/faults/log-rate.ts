/** A line of a log may come this often within a second, whatever goes wrong. */
const perSecondMax = 10;

/** Counts how often each line comes in one second. Lines are the same when their message is. */
export function createLogRate() {
  let second = 0;
  let counts = new Map<string, number>();
  const loud = new Map<string, number>();
  return {
    add(line: string): void {
      const now = Math.floor(performance.now() / 1000);
      if (now !== second) [second, counts] = [now, new Map()];
      const what = /"msg":"((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? line;
      const count = (counts.get(what) ?? 0) + 1;
      counts.set(what, count);
      if (count > perSecondMax) loud.set(what, Math.max(count, loud.get(what) ?? 0));
    },
    /** Lines that came more often, and how often, since it was asked last. */
    loud(): [string, number][] {
      const found = [...loud];
      loud.clear();
      return found;
    },
  };
}
