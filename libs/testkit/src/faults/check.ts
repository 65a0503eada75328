import { sql } from 'drizzle-orm';
import type { House } from '../house.ts';
import { checkLedger } from '../ledger.ts';
import { type Execution, isIn, readExecutions, repeatsOf, type Window } from './executions.ts';
import type { Call, Client } from './journal.ts';

export interface Checked {
  client: Client;
  /** What the handler `journaled` wrote, where it ran. */
  file?: string;
  /** So many items may have run once more: those that were in flight when the fault came. Default: none, or any number where `during` says which. */
  repeatsMax?: number | undefined;
  /** Only what ran in these times may have run once more. */
  during?: readonly Window[] | undefined;
}

/**
 * Everything that must hold after a fault, by SQL and by the journals of client and handler: a line for each thing that does not.
 * I1 and I2 by the ledger, I3 where items have keys, I4 and I12 by the client's journal, I7 by the handler's; that all has ended, which
 * is I5, is what `client.settle` waits for.
 */
export async function checkAll(house: House, { client, file, ...repeats }: Checked): Promise<string[]> {
  const told = await checkTold(house, client.calls);
  const ledger = await checkLedger(house.database);
  const ids = new Set(client.calls.map(({ id }) => id));
  const executions = file === undefined ? [] : await readExecutions(file);
  const runs = executions.filter(({ batch }) => ids.has(batch));
  const ran = [...(await checkRuns(house, runs, ids)), ...checkRepeats(runs, repeats)];
  const apps = [house.producer, ...house.workers].flatMap((app) => [
    ...app.loud().map(([what, n]) => `${app.app} ${app.pid()} says ${n} times in a second: ${what}`),
    ...app.deaths().map((how) => `a ${app.app} ${how}, and nobody had asked for it`),
  ]);
  return [...client.faults, ...told, ...ledger.map((line) => `I1, I2 ${line}`), ...ran, ...apps];
}

/** What ran once more, and may not have; and what was charged to an item that never fails. */
function checkRepeats(
  runs: readonly Execution[],
  { during, repeatsMax = during ? Infinity : 0 }: Pick<Checked, 'during' | 'repeatsMax'>,
): string[] {
  const repeats = repeatsOf(runs);
  const strays = repeats.filter(({ before }) => during !== undefined && !before.some((run) => isIn(run, during)));
  return [
    ...(repeats.length > repeatsMax ? [`I7 ${repeats.length} items ran once more, and ${repeatsMax} may have`] : []),
    ...strays
      .slice(0, 5)
      .map(
        (stray) =>
          `I7 this ran once more, and nothing was wrong when it ran: ${JSON.stringify({ ...stray, of: strays.length, during })}`,
      ),
    ...runs
      .filter(({ attempt }) => attempt !== 1)
      .slice(0, 5)
      .map((run) => `I7 an attempt was charged that did not fail: ${JSON.stringify(run)}`),
  ];
}

interface Stored extends Record<string, unknown> {
  key: string;
  id: string;
  state: string;
  succeeded: number;
  failed: number;
  finals: number;
}

/** What was accepted is there once and has ended as it was told; what was refused is not there. */
async function checkTold(house: House, calls: readonly Call[]): Promise<string[]> {
  const rows = await house.database.db.execute<Stored>(sql`
    select name as key, id, state, succeeded::float8, failed::float8,
      (select count(*) from results r where r.batch = b.no)::float8 as finals
    from batches b where name like 'key-%'`);
  const stored = new Map<string, Stored[]>();
  for (const row of rows) stored.set(row.key, [...(stored.get(row.key) ?? []), row]);
  return calls.flatMap((call) => faultsOf(call, stored.get(call.key) ?? []));
}

function faultsOf({ key, id, total, answers, ended }: Call, stored: readonly Stored[]): string[] {
  const faults: string[] = [];
  const say = (what: string): void =>
    void faults.push(`${what}: ${key} ${JSON.stringify({ id, total, answers, ended, stored })}`);
  const ids = new Set(answers.flatMap(({ status, id }) => (status === 202 ? [id] : [])));
  if (stored.length > 1) say('I4 one key has several batches');
  if (ids.size > 1) say('I4 one key was told several batches');
  if (id === null) {
    // Of a broken connection nobody knows, nor of a request that is still being stored (409).
    const isRefused = answers.length > 0 && answers.every(({ status }) => status >= 400 && status !== 409);
    if (isRefused && stored.length > 0) say('I4 it was refused and is there');
    return faults;
  }
  const [row] = stored;
  if (row === undefined || row.id !== id) return [...faults, `I4 it was accepted and is not there: ${key}`];
  if (ended === null) say('I5 it was accepted and its end was not waited for');
  else if (row.state !== ended.state || row.succeeded !== ended.counts.succeeded || row.failed !== ended.counts.failed)
    say('I12 it is not any more what was told');
  if (row.state === 'completed' && row.succeeded + row.failed !== total)
    say('I1 it completed without all of its items');
  if (row.state === 'completed' && row.finals !== total) say('I1 it has not one result for each item');
  return faults;
}

interface Kept extends Record<string, unknown> {
  batch: string;
  index: number;
  /** Null: it failed. */
  run: string | null;
  error: unknown;
  key: string | null;
}

async function checkRuns(
  house: House,
  executions: readonly Execution[],
  ids: ReadonlySet<string | null>,
): Promise<string[]> {
  const rows = await house.database.db.execute<Kept>(sql`
    select b.id as batch, r.index::float8 as index, r.output->>'run' as run, r.error, case when b.keyed then r.output->>'key' end as key
    from results r join batches b on b.no = r.batch where b.handler = 'journaled' order by b.no, r.index`);
  const kept = rows.filter(({ batch }) => ids.has(batch));
  const byRun = new Map(executions.map((execution) => [execution.run, execution]));
  const failed = kept.filter(({ run }) => run === null);
  const invented = kept.filter((row) => row.run !== null && !isOf(row, byRun.get(row.run)));
  return [
    ...failed.slice(0, 5).map((row) => `I1 this failed, which it never does: ${JSON.stringify(row)}`),
    ...invented.slice(0, 5).map((row) => `I1 this result is of no run of its item that ended: ${JSON.stringify(row)}`),
    ...inversionsOf(kept, byRun).slice(0, 5),
  ];
}

const isOf = ({ batch, index }: Kept, run: Execution | undefined): boolean =>
  run !== undefined && run.end !== null && run.batch === batch && run.index === index;

/** Of each key: the run that was kept of an item began after that of the item before it had ended. */
function inversionsOf(kept: readonly Kept[], byRun: ReadonlyMap<string, Execution>): string[] {
  const faults: string[] = [];
  const last = new Map<string, Execution>();
  for (const { batch, run, key } of kept) {
    const execution = byRun.get(run ?? '');
    if (key === null || execution === undefined) continue;
    const group = `${batch} ${key}`;
    const before = last.get(group);
    if (before !== undefined && execution.start < (before.end ?? Infinity))
      faults.push(`I3 ${group}: item ${execution.index} began before item ${before.index} was over`);
    last.set(group, execution);
  }
  return faults;
}
