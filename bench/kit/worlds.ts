import { randomUUID } from 'node:crypto';
import type { Sql } from 'postgres';
import type { BareDatabase } from './bare-database.ts';
import type { Servers } from './servers.ts';

/** Items of each chunk; a batch of 1 000 chunks is not so large that it would get tables of its own. */
export const chunkSize = 200;
/** Batches of the backlog: the first of them are paused, the next wait for another attempt, the last run. */
const waiting = { paused: 500, backingOff: 400, running: 100 };
/** Chunks of the running ones that stand in the queues. */
const queued = 200;

export const newBatch = (chunks: number, name: string | null = null) => ({
  id: randomUUID(),
  name,
  handler: 'echo',
  total: chunks * chunkSize,
  params: null,
  options: '{}',
});

/** A thousand batches that wait, each in its way, without inputs and without a worker. */
export async function fillBacklog({ sql, statements }: BareDatabase, chunksOfBatch: number): Promise<void> {
  const numbers: number[] = [];
  for (let made = 0; made < waiting.paused + waiting.backingOff + waiting.running; made += 1)
    numbers.push(await statements.acceptCount(newBatch(chunksOfBatch), chunkSize));
  const [paused, backingOff] = [numbers[waiting.paused]!, numbers[waiting.paused + waiting.backingOff]!];
  await sql`update batches set state = 'paused' where no < ${paused}`;
  await sql`update chunks set not_before = now() + interval '1 hour' where batch >= ${paused} and batch < ${backingOff}`;
  await sql`
    update chunks set state = 'queued', partition = no % 12, generation = 1, queued_at = now() - interval '1 minute'
    where no in (select no from chunks where batch >= ${backingOff} order by first, no limit ${queued})`;
  await sql`
    insert into partials (batch, partial)
    select no, '{"sum":1}' from batches, generate_series(1, 10) where no >= ${backingOff}`;
  await sql`vacuum analyze chunks`;
  await sql`vacuum analyze batches`;
}

/** A transaction that stays open and has read, as a dump has: what is changed from now on cannot be cleaned away. */
export async function holdSnapshot(servers: Servers, url: string): Promise<() => Promise<void>> {
  const sql = servers.connect(url, { max: 1, connection: { search_path: 'bullpen' } });
  await sql`begin isolation level repeatable read`;
  await sql`select count(*) from batches`;
  return async () => {
    await sql`rollback`;
    await sql.end();
  };
}

/** Chunks of the running batches go the way of all chunks, three changes each, with the counts of their batches. */
export async function settleChunks(sql: Sql, changes: number): Promise<void> {
  const some = 1000;
  for (let done = 0; done < changes; done += 3 * some) {
    const rows = await sql<{ no: string }[]>`
      update chunks set state = 'queued', partition = no % 12, generation = generation + 1, queued_at = now()
      where no in (
        select c.no from (select no from batches where state = 'running') b
        cross join lateral (
          select no from chunks where batch = b.no and state = 'pending' and not_before is null order by first limit 10) c
        limit ${some})
      returning no`;
    const nos = `{${rows.map(({ no }) => no).join(',')}}`;
    await sql`update chunks set state = 'running', claim = gen_random_uuid(), claimed_at = now() where no = any(${nos}::bigint[])`;
    await sql`update chunks set state = 'done' where no = any(${nos}::bigint[])`;
    await sql`
      update batches b set succeeded = b.succeeded + ${chunkSize} * x.n, pass = b.pass + x.n
      from (select batch, count(*) as n from chunks where no = any(${nos}::bigint[]) group by batch) x where b.no = x.batch`;
  }
}
