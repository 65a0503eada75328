/** Long enough to even out flushes of whole chunks, short enough to show a worker that joined. */
const WINDOW_MS = 2000;

export interface Rate {
  /** Notes how many items were done at a time, in milliseconds of any steady clock. */
  add(atMs: number, done: number): void;
  /** Items a second over the last two seconds; null until two times a tenth of a second apart are known. */
  perSecond(): number | null;
}

/** The recent speed: first and last of the samples within the window, with the one just before it to span it wholly. */
export function createRate(windowMs = WINDOW_MS): Rate {
  let samples: { atMs: number; done: number }[] = [];
  return {
    add(atMs, done) {
      samples.push({ atMs, done });
      const firstInside = samples.findIndex((sample) => sample.atMs >= atMs - windowMs);
      samples = samples.slice(Math.max(0, firstInside - 1));
    },
    perSecond() {
      const first = samples[0];
      const last = samples.at(-1);
      if (!first || !last || last.atMs - first.atMs < 100) return null;
      // A retry takes failed items back, so done can fall.
      return Math.max(0, ((last.done - first.done) * 1000) / (last.atMs - first.atMs));
    },
  };
}
