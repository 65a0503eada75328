import type { Log } from '@bullpen/runtime';

/**
 * Says once that another worker has the pins of this one, and when it has them itself. Not before it has been so for a
 * lease: who crashed and starts again meets the row of its former self for that long.
 */
export function createPinWatch(leaseMs: number, log: Log, clock = () => performance.now()) {
  let since: number | null = null;
  let said = false;
  return function watchPins(heldBy: string | null): void {
    if (heldBy === null) {
      if (said) log.info('its pins count now: the other worker is gone');
      since = null;
      said = false;
      return;
    }
    since ??= clock();
    if (said || clock() - since <= leaseMs) return;
    said = true;
    log.warn(
      { other: heldBy },
      'another worker that started earlier has some of these pins: this one runs unpinned until that one is gone',
    );
  };
}
