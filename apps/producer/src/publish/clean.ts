import { expiredMax, type Statements } from '@bullpen/db';
import type { Log, Settings } from '@bullpen/runtime';
import { createTrim } from './trim.ts';

/** A line of the log while there is no pause. */
const tellEveryMs = 10_000;
/** After a round that found nothing, and after one that did. */
const idleMs = 1000;
const moreMs = 20;
/** How often the retention looks for batches whose time is over. */
const expireEveryMs = 60_000;
/** Sweeps of one number in one round: 5 000 rows of each table in some 20 ms each. */
const sweepsMax = 20;

/** What was done since it was told last. */
const nothing = { expired: 0, trimmed: 0, uploads: 0, rows: 0, emptied: 0, dropped: 0 };

/**
 * Gives the space of what is gone back: of batches that were deleted, whose days are over (`retentionDays`, 0: for ever), of items of
 * open batches whose days are over (`trimmed`, in rows), and of uploads that nobody sends any more. `cleanOnce` answers after how many ms to run it again.
 *
 * Level-triggered: it looks what is there, so a producer that dies in the middle of it is gone on for by any other, and several
 * at once share the work by the locks on its rows.
 */
export function createClean(deps: {
  statements: Pick<
    Statements,
    'cleanUploads' | 'expire' | 'streams' | 'trim' | 'leftovers' | 'sweep' | 'freeRanges' | 'freeRange'
  >;
  settings: Pick<Settings, 'leaseMs' | 'retentionDays'>;
  log: Log;
}) {
  const { statements, settings, log } = deps;
  const trim = createTrim({ statements, retentionDays: settings.retentionDays });
  let expireAt = 0;
  let toldAt = performance.now();
  let done = { ...nothing };

  async function expire(): Promise<number> {
    if (settings.retentionDays === 0 || performance.now() < expireAt) return 0;
    const expired = await statements.expire(settings.retentionDays);
    if (expired < expiredMax) expireAt = performance.now() + expireEveryMs;
    return expired;
  }

  async function sweep(): Promise<number> {
    let rows = 0;
    for (const leftover of await statements.leftovers()) {
      for (let sweeps = 0, last = 1; last > 0 && sweeps < sweepsMax; sweeps += 1)
        rows += last = await statements.sweep(leftover);
    }
    return rows;
  }

  async function free(): Promise<{ emptied: number; dropped: number }> {
    const freed = { emptied: 0, dropped: 0 };
    for (const { first } of await statements.freeRanges()) {
      const fate = await statements.freeRange(first);
      if (fate !== 'busy') freed[fate] += 1;
    }
    return freed;
  }

  /** One line for all that was done since the last one. */
  function tell(): void {
    if (Object.values(done).every((count) => count === 0)) return;
    log.info(Object.fromEntries(Object.entries(done).filter(([, count]) => count > 0)), 'cleaned up');
    done = { ...nothing };
    toldAt = performance.now();
  }

  return async function cleanOnce(): Promise<number> {
    const uploads = await statements.cleanUploads({ leaseMs: settings.leaseMs });
    const expired = await expire();
    const trimmed = await trim();
    const rows = await sweep();
    const { emptied, dropped } = await free();
    done.uploads += uploads;
    done.expired += expired;
    done.trimmed += trimmed;
    done.rows += rows;
    done.emptied += emptied;
    done.dropped += dropped;
    const idle = uploads + expired + trimmed + rows + emptied + dropped === 0;
    if (idle || performance.now() - toldAt > tellEveryMs) tell();
    return idle ? idleMs : moreMs;
  };
}
