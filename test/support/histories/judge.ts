import { readOrder } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import type { Played, Stage } from './play.ts';

/** What a history has come to. */
export interface Judged {
  /** A line for each; none: it is good. */
  faults: string[];
  items: number;
  /** Attempts that began. */
  runs: number;
  /** Of these, those that never ended: their worker was killed. */
  cut: number;
  /** Of these, those that ended and came to nothing: their worker had lost the line, or died before its flush. */
  lost: number;
  /** Rows of lines that were taken from a worker that had them in hand. */
  taken: number;
}

export async function judge({ house: { database }, witness }: Stage, { clients }: Played): Promise<Judged> {
  const ids = clients.map(({ id }) => id);
  const { committed, inversions, gaps, ...seen } = await readOrder(database, { batches: ids, witness });
  const total = clients.reduce((sum, client) => sum + client.total, 0);
  const rows = await database.db.execute<{ taken: number }>(sql`
    select count(*)::int as taken from chunks c join batches b on b.no = c.batch
    where b.id = any(string_to_array(${ids.join(',')}::text, ',')::uuid[]) and crashes > 0`);
  const short = committed === total ? [] : [`${committed} of ${total} items are final`];
  return { ...seen, faults: [...inversions, ...gaps, ...short], items: committed, taken: rows[0]!.taken };
}
