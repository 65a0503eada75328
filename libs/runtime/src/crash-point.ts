/** Marked places: of a worker with a chunk or a line in hand, and of a producer with a batch. */
export const crashPlaces = [
  'after-claim', 'before-flush', 'after-flush', 'after-accept', 'after-mark', 'between-adds',
] as const; // prettier-ignore

export type CrashPlace = (typeof crashPlaces)[number];

let armed: CrashPlace | 'nothing' = 'nothing';

/** From now on this process dies at that place (TEST_CRASH_AT). */
export const armCrash = (place: CrashPlace | 'nothing'): void => void (armed = place);

/** Kills this process where it is armed, as the kernel or a power cut would. Else it is a comparison of two words. */
export function crashPoint(place: CrashPlace): void {
  if (armed === place) process.kill(process.pid, 'SIGKILL');
}
