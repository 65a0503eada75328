import { type Statements, streamsMax } from '@bullpen/db';

/** How often the retention looks at all open batches. */
const everyMs = 60_000;
/** Trims of one batch in one round: some 5 000 items each in 20 ms. */
const trimsMax = 20;

/**
 * Takes from open batches what is final for `retentionDays` (0: for ever). Each call looks at the next few of them and answers how many
 * rows went; after the last one it rests for a minute, unless some had more than one round takes.
 */
export function createTrim(deps: { statements: Pick<Statements, 'streams' | 'trim'>; retentionDays: number }) {
  const { statements, retentionDays: days } = deps;
  let dueAt = 0;
  let after = 0;
  let isMore = false;
  /** Where the inputs of each batch begin, as this pass and the one before have seen it; batches that are not seen again are forgotten. */
  let begins = new Map<number, number>();
  let before = new Map<number, number>();

  async function trim(batch: number): Promise<number> {
    let sum = 0;
    let from = begins.get(batch) ?? before.get(batch) ?? 0;
    for (let trims = 0, last = 1; last > 0; trims += 1) {
      if (trims === trimsMax) {
        isMore = true;
        break;
      }
      ({ rows: last, from } = await statements.trim({ batch, from, days }));
      sum += last;
    }
    begins.set(batch, from);
    return sum;
  }

  function endPass(): void {
    if (!isMore) dueAt = performance.now() + everyMs;
    isMore = false;
    [before, begins] = [begins, new Map()];
  }

  return async function trimSome(): Promise<number> {
    if (days === 0 || performance.now() < dueAt) return 0;
    const streams = await statements.streams({ days, after });
    let rows = 0;
    for (const batch of streams) rows += await trim(batch);
    after = streams.length < streamsMax ? 0 : streams.at(-1)!;
    if (after === 0) endPass();
    return rows;
  };
}
