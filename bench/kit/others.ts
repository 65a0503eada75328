import { setTimeout as sleep } from 'node:timers/promises';
import type { GroupLines } from './client.ts';
import type { House } from './house.ts';

const lookMs = 500;
const standsStillMs = 60_000;

/** Seconds from the first chunk of a batch that was published to the last result of those items that are not of its hot group. */
export async function othersSeconds({ sql }: House, id: string, { items, hot = 0 }: GroupLines): Promise<number> {
  const total = items + hot;
  for (let [before, since] = [-1, performance.now()]; ; await sleep(lookMs)) {
    // As the client spreads the hot ones (client.mjs).
    const [found] = await sql<{ count: number; seconds: number }[]>`
      select count(*)::int as count, extract(epoch from max(r.finished_at) - min(b.started_at))::float8 as seconds
      from batches b join results r on r.batch = b.no
      where b.id = ${id} and (r.index + 1) * ${hot}::bigint / ${total}::bigint = r.index * ${hot}::bigint / ${total}::bigint`;
    if (found!.count === items) return found!.seconds;
    if (found!.count !== before) [before, since] = [found!.count, performance.now()];
    else if (performance.now() - since > standsStillMs)
      throw new Error(`of the others ${before} of ${items} are done, and no more`);
  }
}
