import type { Marked, Repaired, Window } from '@bullpen/db';
import type { RoundTimes } from './report.ts';
import { windowsOf } from './room.ts';

/** What takes time in a producer. */
export type Phase = 'accept' | 'mark' | 'publish';

/** A partition as the last round of publishing saw it. */
export interface SeenWindow extends Pick<Window, 'partition' | 'queued' | 'running' | 'oldestMs'> {
  /** Chunks that should be queued and running. */
  window: number;
  /** How long nobody has had a lease on it; 0: somebody has. */
  unownedMs: number;
}

/** What a producer counts, since its start. `observe` is told of each accept, mark and addBulk round. */
export function createFigures(observe: (phase: Phase, ms: number) => void = () => undefined) {
  let windows: readonly Window[] = [];
  let seenAt = performance.now();
  /** By partition: since when it was seen without a lease. */
  const unownedSince = new Map<number, number>();
  const totals = {
    /** Items that were stored. */
    accepted: 0,
    /** Chunks whose job was added, for the first time and again; and those whose job could not be added. */
    added: 0, again: 0, refused: 0,
    /** Chunks that wait again: of a worker that is gone, whose job is lost. Items that failed with their workers, or were skipped. */
    orphaned: 0, lost: 0, failed: 0,
  }; // prettier-ignore

  return {
    totals,
    observe,

    /** A round of publishing has read the windows. */
    saw(read: readonly Window[]): void {
      windows = read;
      seenAt = performance.now();
      for (const { partition, leased } of read) {
        if (leased) unownedSince.delete(partition);
        else if (!unownedSince.has(partition)) unownedSince.set(partition, seenAt);
      }
    },

    /** A round has added jobs. */
    published(marked: readonly Marked[], failed: ReadonlySet<number>, { startedAt, markedAt }: RoundTimes): void {
      observe('mark', markedAt - startedAt);
      observe('publish', performance.now() - markedAt);
      for (const { no, generation } of marked) {
        if (failed.has(no)) totals.refused += 1;
        else if (generation > 1) totals.again += 1;
        else totals.added += 1;
      }
    },

    repaired(chunks: readonly Repaired[]): void {
      totals.orphaned += chunks.length;
      totals.failed += chunks.filter(({ fate }) => fate === 'failed').length;
    },

    /** The windows as they were read last, and how long that is ago. */
    windows(): SeenWindow[] {
      const asked = windowsOf(windows);
      return windows.map(({ partition, queued, running, oldestMs }) => {
        const since = unownedSince.get(partition);
        const unownedMs = since === undefined ? 0 : performance.now() - since;
        return { partition, queued, running, oldestMs, window: asked.get(partition) ?? 0, unownedMs };
      });
    },
    windowsAgeMs: (): number => performance.now() - seenAt,
  };
}

export type Figures = ReturnType<typeof createFigures>;
