import { checkLedger, eventually, type Execution, type House, isIn, repeatsOf, type Trial } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import type { FaultTime } from './faults.ts';
import type { Placed } from './load.ts';
import type { FaultKind } from './plan.ts';

/** What a soak has come to. */
export interface Judged {
  /** Items that are final. */
  items: number;
  /** Lines for what must not be: each has the invariant that does not hold. */
  faults: string[];
  /** Runs of an item beyond its first: where what had run before may have been lost by a fault of that time, and where not. */
  repeats: { within: number; outside: number };
  /** Some of those outside. */
  strays: unknown[];
  executions: number;
}

/** By all other faults no run is lost: what is in hand is finished, or is asked again under its claim. */
const losing: ReadonlySet<FaultKind> = new Set<FaultKind>([
  'worker killed', 'worker frozen', 'postgres killed', 'postgres stopped fast', 'postgres stopped at once', 'postgres frozen', 'postgres sessions ended',
  'way to postgres: hole', 'way to postgres: refused',
]); // prettier-ignore

/** A worker goes on for so long with what it has, before it is told that it is another's: two leases. */
const afterMs = 3000;

const patienceMs = 180_000;

export async function judge(
  house: House,
  { trial, singles, windows }: { trial: Trial; singles: readonly Placed[]; windows: readonly FaultTime[] },
): Promise<Judged> {
  const stuck = await trial.client.settle(patienceMs).then(() => [], (error: Error) => [`I5 ${error.message}`]); // prettier-ignore
  const lost = await checkSingles(house, singles);
  // The trial takes its journal away.
  const executions = await trial.executions();
  const { strays, ...repeats } = repeatsIn(executions, windows);
  const faults = stuck.length > 0 ? stuck : await trial.outcome({ repeatsMax: Infinity });
  const [row] = await house.database.db.execute<{ items: number }>(
    sql`select coalesce(sum(succeeded + failed), 0)::float8 as items from batches`,
  );
  return {
    items: row!.items,
    faults: [...faults, ...lost, ...(await checkFailed(house)), ...(await checkLedger(house.database))],
    repeats,
    strays: strays.slice(0, 5),
    executions: executions.length,
  };
}

function repeatsIn(
  executions: readonly Execution[],
  faults: readonly FaultTime[],
): Judged['repeats'] & Pick<Judged, 'strays'> {
  const windows = faults.filter(({ kind }) => losing.has(kind)).map((each) => ({ ...each, to: each.to + afterMs }));
  const repeats = repeatsOf(executions);
  const strays = repeats.filter(({ before }) => !before.some((run) => isIn(run, windows)));
  const near = (at: number) => faults.filter(({ from, to }) => from < at && to > at - 20_000);
  return {
    within: repeats.length - strays.length,
    outside: strays.length,
    strays: strays.map((stray) => ({ ...stray, faults: near(stray.repeat.startedAt) })),
  };
}

/** Each has a place of its own and a result there, and there are no others. */
async function checkSingles(house: House, singles: readonly Placed[]): Promise<string[]> {
  const places = new Set(singles.map(({ batchId, index }) => `${batchId} ${index}`));
  const twice = singles.length - places.size;
  const stored = async (): Promise<Set<string>> => {
    const rows = await house.database.db.execute<{ place: string }>(sql`
      select b.id || ' ' || r.index as place from results r join batches b on b.no = r.batch where b.kind = 'jobs'`);
    return new Set(rows.map(({ place }) => place));
  };
  const areAll = async (): Promise<boolean> => stored().then((done) => [...places].every((place) => done.has(place)));
  await eventually('all single items have results', areAll, patienceMs).catch(() => undefined);
  const done = await stored();
  const lost = [...places].filter((place) => !done.has(place));
  const unknown = [...done].filter((place) => !places.has(place));
  return [
    ...(twice > 0 ? [`I4 ${twice} single items share a place with another`] : []),
    ...lost.slice(0, 5).map((place) => `I4 the single item at ${place} has no result`),
    ...unknown.slice(0, 5).map((place) => `I4 the single item at ${place} is there twice, or was refused`),
  ];
}

/** Items fail as they were asked to, and no others. */
async function checkFailed(house: House): Promise<string[]> {
  const rows = await house.database.db.execute(sql`
    select b.id, b.handler, r.index::float8, r.error from results r join batches b on b.no = r.batch
    where r.status = 2 and (b.handler <> 'fail' or r.error->>'message' is distinct from 'as asked') limit 5`);
  return rows.map((row) => `I1 this failed, and should not: ${JSON.stringify(row)}`);
}
