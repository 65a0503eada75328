/**
 * Things that are due at some time, given back in the order of their times, rounded up to a step: so many that are due about
 * the same time are one entry.
 */
export function createAlarm<Thing>(stepMs = 50) {
  /** By time, earliest first. */
  const times: number[] = [];
  const things = new Map<number, Thing[]>();

  return {
    set(at: number, thing: Thing): void {
      const time = Math.ceil(at / stepMs) * stepMs;
      const there = things.get(time);
      if (there !== undefined) return void there.push(thing);
      things.set(time, [thing]);
      let low = 0;
      for (let high = times.length; low < high;) {
        const middle = (low + high) >> 1;
        if (times[middle]! < time) low = middle + 1;
        else high = middle;
      }
      times.splice(low, 0, time);
    },
    /** One that is due, or null. */
    take(now: number): Thing | null {
      const [first] = times;
      if (first === undefined || first > now) return null;
      const due = things.get(first)!;
      const thing = due.shift()!;
      if (due.length === 0) {
        things.delete(first);
        times.shift();
      }
      return thing;
    },
    /** When the next one is due; Infinity: there is none. */
    next: (): number => times[0] ?? Infinity,
  };
}
