import { checkLedger, type Execution, type House, type Trial } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import type { Window } from './faults.ts';
import type { Placed } from './load.ts';

/** What a soak has come to. */
export interface Judged {
  /** Items that are final. */
  items: number;
  /** Lines for what must not be: each has the invariant that does not hold. */
  faults: string[];
  /** Runs of the same attempt beyond its first, within the time of a fault and outside of any. */
  repeats: { within: number; outside: number };
  executions: number;
}

/** A worker that was frozen or cut off is found missing and replaced within this after the end of its fault. */
const afterMs = 10_000;

export async function judge(
  house: House,
  { trial, singles, windows }: { trial: Trial; singles: readonly Placed[]; windows: readonly Window[] },
): Promise<Judged> {
  const executions = await trial.executions();
  const repeats = repeatsIn(executions, windows);
  const faults = await trial.outcome({ repeatsMax: Infinity, withinMs: 180_000 });
  const [row] = await house.database.db.execute<{ items: number }>(
    sql`select coalesce(sum(succeeded + failed), 0)::float8 as items from batches`,
  );
  return {
    items: row!.items,
    faults: [...faults, ...(await checkSingles(house, singles)), ...(await checkLedger(house.database))],
    repeats,
    executions: executions.length,
  };
}

/** An item that runs once more while nothing is wrong, and was not for a while. */
function repeatsIn(executions: readonly Execution[], windows: readonly Window[]): Judged['repeats'] {
  const first = new Set<string>();
  const repeats = { within: 0, outside: 0 };
  for (const { batch, index, attempt, startedAt } of executions) {
    const name = `${batch}:${index}:${attempt}`;
    if (!first.has(name)) {
      first.add(name);
      continue;
    }
    const isMeant = windows.some(({ from, to }) => startedAt >= from && startedAt <= to + afterMs);
    repeats[isMeant ? 'within' : 'outside'] += 1;
  }
  return repeats;
}

/** Each has a place of its own, and a result there. */
async function checkSingles(house: House, singles: readonly Placed[]): Promise<string[]> {
  const places = new Set(singles.map(({ batchId, index }) => `${batchId} ${index}`));
  const twice = singles.length - places.size;
  const rows = await house.database.db.execute<{ place: string }>(sql`
    select b.id || ' ' || r.index as place from results r join batches b on b.no = r.batch where b.kind = 'jobs'`);
  const done = new Set(rows.map(({ place }) => place));
  const lost = [...places].filter((place) => !done.has(place));
  return [
    ...(twice > 0 ? [`I4 ${twice} single items share a place with another`] : []),
    ...lost.slice(0, 5).map((place) => `I4 the single item at ${place} has no result`),
  ];
}
