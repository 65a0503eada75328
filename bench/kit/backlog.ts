import { type GroupLines, uploadGroups } from './client.ts';
import { ended, type House } from './house.ts';
import { type Taken, watchUsage } from './usage.ts';

/** What a batch took that was there before anything of it ran: from its first chunk that was published to its end, on the database's clock. */
interface RanBacklog {
  items: number;
  itemsPerSecond: number;
  seconds: number;
  usage: Record<string, Taken>;
}

/**
 * Uploads a batch that waits: by a trigger that makes it paused, since whatever else kept workers from it would keep them from
 * getting ready. `release` resumes it.
 */
export async function uploadHeld({ sql, url }: House, query: string, lines: GroupLines) {
  await sql`create or replace function held() returns trigger language plpgsql as 'begin new.state := ''paused''; return new; end'`;
  await sql`create or replace trigger held before insert on batches for each row execute function held()`;
  const { id } = await uploadGroups(`${url}/v1/batches?${query}`, lines);
  await sql`drop trigger held on batches`;
  await sql`vacuum analyze chunks`;
  await sql`checkpoint`;
  return { id, release: () => sql`update batches set state = 'running' where id = ${id}` };
}

/** Throws when not every item succeeded. */
export async function runBacklog(house: House, query: string, lines: GroupLines): Promise<RanBacklog> {
  const { id, release } = await uploadHeld(house, query, lines);
  const usage = watchUsage(house.watched());
  await release();
  const { counts, state, startedAt, finishedAt } = await ended(house.client, id);
  if (counts.succeeded !== counts.total) throw new Error(`the batch ended as ${state} with ${JSON.stringify(counts)}`);
  const seconds = (Date.parse(finishedAt!) - Date.parse(startedAt!)) / 1000;
  return { items: counts.total, itemsPerSecond: counts.total / seconds, seconds, usage: usage.stop() };
}
