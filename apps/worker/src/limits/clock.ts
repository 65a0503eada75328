/** What was seen is forgotten after once to twice this long: clocks drift by some 50 µs a second. */
const keepMs = 15_000;
/** A reply is not this late; if it seems so, the database's clock was put back. */
const setBackMs = 1000;

/**
 * The database's clock, by this process's. A reply that tells the time arrives later than that, so the least distance of late is the
 * nearest to the truth, and a time translated by it is never early; on one machine some 0.3 ms late.
 */
export function createServerClock() {
  let current = { least: Infinity, since: -Infinity };
  let before = Infinity;

  return {
    /** A reply came in at `receivedAt`; it was `serverNow` there when it was made. */
    saw(serverNow: number, receivedAt: number): void {
      const distance = receivedAt - serverNow;
      if (distance - Math.min(current.least, before) > setBackMs) {
        [current, before] = [{ least: distance, since: receivedAt }, Infinity];
        return;
      }
      if (receivedAt - current.since > keepMs) {
        before = current.least;
        current = { least: distance, since: receivedAt };
      }
      current.least = Math.min(current.least, distance);
    },
    /** A time there, by the clock here. */
    toLocal: (serverTime: number): number => serverTime + Math.min(current.least, before),
  };
}
