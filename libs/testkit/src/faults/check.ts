import { sql } from 'drizzle-orm';
import type { House } from '../house.ts';
import { checkLedger } from '../ledger.ts';
import { type Execution, readExecutions, repeatsOf } from './executions.ts';
import type { Call, Client } from './journal.ts';

export interface Checked {
  client: Client;
  /** What the handler `journaled` wrote, where it ran. */
  file?: string;
  /** Items that may have run once more: those that were in flight when the fault came. */
  repeatsMax?: number;
}

/**
 * Everything that must hold after a fault, by SQL and by the journals of client and handler: a line for each thing that does not.
 * I1 and I2 by the ledger, I3 where items have keys, I4 and I12 by the client's journal, I7 by the handler's; that all has ended, which
 * is I5, is what `client.settle` waits for.
 */
export async function checkAll(house: House, { client, file, repeatsMax = 0 }: Checked): Promise<string[]> {
  const told = await checkTold(house, client.calls);
  const ledger = await checkLedger(house.database);
  const ids = new Set(client.calls.map(({ id }) => id));
  const executions = file === undefined ? [] : await readExecutions(file);
  const ran = await checkRuns(
    house,
    executions.filter(({ batch }) => ids.has(batch)),
    ids,
    repeatsMax,
  );
  const logs = [house.producer, ...house.workers].flatMap((app) =>
    app.loud().map(([what, n]) => `${app.app} ${app.pid()} says ${n} times in a second: ${what}`),
  );
  return [...client.faults, ...told, ...ledger.map((line) => `I1, I2 ${line}`), ...ran, ...logs];
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
    const isRefused = answers.length > 0 && answers.every(({ status }) => status >= 400 && status < 500);
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
  run: string;
  key: string | null;
}

async function checkRuns(
  house: House,
  executions: readonly Execution[],
  ids: ReadonlySet<string | null>,
  repeatsMax: number,
): Promise<string[]> {
  const rows = await house.database.db.execute<Kept>(sql`
    select b.id as batch, r.index::float8 as index, r.output->>'run' as run, case when b.keyed then r.output->>'key' end as key
    from results r join batches b on b.no = r.batch where b.handler = 'journaled' and r.status = 1 order by b.no, r.index`);
  const kept = rows.filter(({ batch }) => ids.has(batch));
  const byRun = new Map(executions.map((execution) => [execution.run, execution]));
  const invented = kept.filter(({ run }) => (byRun.get(run)?.end ?? null) === null);
  const repeats = repeatsOf(executions);
  return [
    ...invented.slice(0, 5).map((row) => `I1 this result is of no run that ended: ${JSON.stringify(row)}`),
    ...(repeats > repeatsMax ? [`I7 ${repeats} items ran once more, and ${repeatsMax} may have`] : []),
    ...inversionsOf(kept, byRun).slice(0, 5),
  ];
}

/** Of each key: the run that was kept of an item began after that of the item before it had ended. */
function inversionsOf(kept: readonly Kept[], byRun: ReadonlyMap<string, Execution>): string[] {
  const faults: string[] = [];
  const last = new Map<string, Execution>();
  for (const { batch, run, key } of kept) {
    const execution = byRun.get(run);
    if (key === null || execution === undefined) continue;
    const group = `${batch} ${key}`;
    const before = last.get(group);
    if (before !== undefined && execution.start < (before.end ?? Infinity))
      faults.push(`I3 ${group}: item ${execution.index} began before item ${before.index} was over`);
    last.set(group, execution);
  }
  return faults;
}
