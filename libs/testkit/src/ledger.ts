import { sql } from 'drizzle-orm';
import type { TestDatabase } from './database.ts';

/**
 * Looks for anything that must not be (docs: what must hold, I1 and I2), and answers a line for each fault: a batch that
 * ended with an index missing, doubled or out of range; counts that differ from the sums over chunks or results.
 */
export async function checkLedger(database: TestDatabase): Promise<string[]> {
  const rows = (await database.db.execute(sql`
    select b.no, b.state, b.sealed, b.total::float8, b.succeeded::float8, b.failed::float8,
      coalesce(c.done, 0)::float8 as done, coalesce(c.open, 0)::float8 as open, coalesce(c.trimmed, false) as trimmed,
      coalesce(r.good, 0)::float8 as good, coalesce(r.bad, 0)::float8 as bad, coalesce(r.outside, 0)::float8 as outside
    from batches b
    left join (select batch, sum(case when state = 'done' then size else settled end) as done, sum(size) filter (where state <> 'done') as open,
        bool_or(src = -1) as trimmed
      from chunks group by batch) c on c.batch = b.no
    left join (select x.batch, count(*) filter (where status = 1) as good, count(*) filter (where status = 2) as bad,
        count(*) filter (where index < 0 or index >= y.total) as outside
      from results x join batches y on y.no = x.batch group by x.batch) r on r.batch = b.no`)) as unknown as LedgerRow[];
  return rows.flatMap(faultsOf);
}

interface LedgerRow {
  no: number;
  state: string;
  sealed: boolean;
  total: number;
  succeeded: number;
  failed: number;
  done: number;
  open: number;
  /** The retention has taken results of it. */
  trimmed: boolean;
  good: number;
  bad: number;
  outside: number;
}

function faultsOf(row: LedgerRow): string[] {
  const faults: string[] = [];
  const say = (what: string): void =>
    void faults.push(`batch ${row.no} (${row.state}): ${what} ${JSON.stringify(row)}`);
  if (row.done !== row.succeeded + row.failed) say('counts differ from the done chunks');
  if (row.done + row.open !== row.total) say('chunks do not cover the items');
  // Items that were only acknowledged have no row.
  const bad = row.trimmed ? Math.max(row.bad, row.failed) : row.bad;
  if (row.good > row.succeeded || bad !== row.failed) say('counts differ from the results');
  if (row.outside > 0) say('results out of range');
  if (row.state === 'completed' && row.open > 0) say('completed with open chunks');
  if (row.state === 'completed' && !row.sealed) say('completed and not sealed');
  if (row.state === 'running' && row.sealed && row.open === 0) say('all done and not completed');
  return faults;
}
