import { randomUUID } from 'node:crypto';
import { createStatements, openDatabase } from '@bullpen/db';
import type { House } from './house.ts';

/** As the turn of a line claims them. */
const itemsOfClaim = 4000;

/**
 * The claim statement alone over all lines of a batch of `ack`, one after the other, on one connection as a worker has it; and the inputs
 * that it answers parsed, which is what anybody has to do who looks at them: items a second of each.
 */
export async function claimLines(
  { sql, databaseUrl }: House,
  id: string,
): Promise<{ claimed: number; parsed: number }> {
  const database = openDatabase({ url: databaseUrl, max: 1, name: 'bench worker', durable: false, keepsPlans: true });
  const { claimLine } = createStatements(database.db, { reconnectMs: 1000 });
  const own = { lease: randomUUID(), worker: randomUUID(), handlers: ['ack'] };
  await sql`update partitions set lease = ${own.lease}`;
  const [whole] = await sql<{ no: number; size: number }[]>`
    select b.no, max(size) as size from batches b join chunks c on c.batch = b.no where id = ${id} group by b.no`;
  const rows = Math.ceil(itemsOfClaim / whole!.size);
  const lines = await sql<{ no: number }[]>`select no from partitions order by no`;
  const taken = { items: 0, claimMs: 0, parseMs: 0 };
  for (const { no: line } of lines)
    for (let [after, count] = [-1, rows]; count === rows;) {
      const started = performance.now();
      const claimed = await claimLine({ batch: whole!.no, line, after, rows, claim: randomUUID(), ...own });
      const answered = performance.now();
      for (const { items } of claimed) JSON.parse(items);
      taken.parseMs += performance.now() - answered;
      taken.claimMs += answered - started;
      taken.items += claimed.reduce((sum, { size }) => sum + size, 0);
      count = claimed.length;
      after = claimed.at(-1)?.place ?? after;
    }
  await database.close();
  return { claimed: (taken.items / taken.claimMs) * 1000, parsed: (taken.items / taken.parseMs) * 1000 };
}
