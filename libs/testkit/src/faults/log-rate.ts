/** A line of a log may come this often within a second, whatever goes wrong. */
const perSecondMax = 10;
/** Lines of two streams, and of a process that was started again, may come in another order than they were written. */
const secondsKept = 60;

/**
 * Counts how often each line comes in one second. Lines are the same when their message is. The second is the one in which a line was
 * written, as it says itself: a reader that was away has those of several at once. Lines that do not say are counted when they come.
 */
export function createLogRate(now: () => number = Date.now) {
  const seconds = new Map<number, Map<string, number>>();
  const loud = new Map<string, number>();
  return {
    add(line: string): void {
      const at = Math.floor(Number(/"time":(\d+)/.exec(line)?.[1] ?? now()) / 1000);
      const counts = seconds.get(at) ?? new Map<string, number>();
      seconds.set(at, counts);
      if (seconds.size > secondsKept) seconds.delete(seconds.keys().next().value!);
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
