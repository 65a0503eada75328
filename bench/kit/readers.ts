import { setTimeout as sleep } from 'node:timers/promises';
import { slowReaders } from './client.ts';
import type { House } from './house.ts';
import { params } from './in-house.ts';

const stored = { name: 'stored', rows: 500_000 };

/** An earlier batch with many results. Every variant has it: writing it down goes on in the background for a while. */
export async function storeResults({ client, sql }: House): Promise<void> {
  const { id } = await client.submit({ handler: 'echo', count: 1000, name: stored.name });
  await sql`insert into results (batch, index, finished_at, status, attempt, output)
    select no, i + 1000, now(), 1, 1, ${JSON.stringify(params)}::text::json
    from batches, generate_series(0, ${stored.rows - 1}::int) i where id = ${id}`;
  await sql`checkpoint`;
}

/** Where `storeResults` of the same house has put them. */
export async function storedUrl({ sql, url }: House): Promise<string> {
  const [batch] = await sql`select id from batches where name = ${stored.name}`;
  return `${url}/v1/batches/${batch!['id']}/results`;
}

/** At first each reader gets what fits into the buffers between, 4 MB and more, as fast as it can be read. */
const settleMs = 500;

/** Clients read its results, 20 kB a second each, and none of them gets far. */
export async function readSlowly(house: House, readers: number): Promise<() => Promise<unknown>> {
  const leave = await slowReaders(await storedUrl(house), readers, 20);
  await sleep(readers * settleMs);
  return leave;
}
