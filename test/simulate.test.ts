import { setTimeout as sleep } from 'node:timers/promises';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type BatchAnswer, checkLedger, eventually, type House, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const items = 4000;

/** Outputs in index order, as one hash, and the summary as it stands in the answer. */
async function outcomeOf(id: string): Promise<{ outputs: string; summary: string }> {
  const lines = await fetch(`${house.url()}/v1/batches/${id}/results`, { headers: { accept: 'application/x-ndjson' } });
  const hash = createHash('sha256');
  let count = 0;
  for (const line of (await lines.text()).trimEnd().split('\n')) {
    const { index, output } = JSON.parse(line) as { index: number; output: unknown };
    expect(index).toBe(count);
    hash.update(JSON.stringify(output));
    count += 1;
  }
  expect(count).toBe(items);
  const answer = await (await fetch(`${house.url()}/v1/batches/${id}`)).text();
  return { outputs: hash.digest('hex'), summary: /"summary":(.*),"summaryError":null\}$/.exec(answer)![1]! };
}

/** Of workers that have chunks in hand. */
const pidsInHand = async (): Promise<number[]> =>
  (
    await house.database.db.execute(
      sql`select w.pid from chunks c join workers w on w.id = c.worker where c.state = 'running' group by w.pid order by count(*) desc`,
    )
  ).map((row) => Number(row['pid']));

describe('simulate', () => {
  it('comes to the same outputs and the same summary, to the byte, with 1 worker or 3, any chunk size, and a kill', async () => {
    house = await startHouse({ workers: 1 });
    // Four teams over and over, so that an item takes long enough to kill a worker in the middle.
    const event = JSON.parse(await readFile('examples/simulate/season.json', 'utf8')) as { teams: object[] };
    const teams = Array.from({ length: 16 }, (_, at) => ({ ...event.teams[at % 4], name: `T${at}` }));
    const order = { handler: 'simulate', count: items, params: { ...event, teams } };
    const submit = (chunkSize: number): Promise<string> => house.submit({ ...order, options: { seed: 7, chunkSize } });

    const one = await submit(7);
    await house.ended(one);
    await Promise.all([house.addWorker(), house.addWorker()]);
    const three = await submit(100);
    const middle = await eventually('it is in the middle', async () => {
      const { body } = await house.request<BatchAnswer & { summary: { items: number } | null }>(`/v1/batches/${three}`);
      // Counts and summary are of one moment.
      expect(body.summary?.items ?? 0).toBe(body.counts.succeeded);
      return body.counts.succeeded > items / 8 ? body : null;
    });
    const victim = await eventually('a worker stands still with chunks in hand', async () => {
      const [busy] = await pidsInHand();
      const worker = house.workers.find((each) => each.pid() === busy);
      worker?.signal('SIGSTOP');
      // What it had sent by then is settled.
      await sleep(50);
      if (worker !== undefined && (await pidsInHand()).includes(busy!)) return worker;
      worker?.signal('SIGCONT');
      return null;
    });
    await victim.end('SIGKILL');
    expect(middle.state).toBe('running');
    expect((await house.ended(three)).counts).toMatchObject({ succeeded: items, failed: 0 });
    const [{ crashes }] = (await house.database.db.execute(
      sql`select sum(crashes)::int as crashes from chunks`,
    )) as unknown as [{ crashes: number }];
    expect(crashes).toBeGreaterThan(0);

    const [first, second] = [await outcomeOf(one), await outcomeOf(three)];
    expect(JSON.parse(first.summary)).toMatchObject({ items });
    expect(second).toEqual(first);
    await eventually('all is folded', async () => {
      const rows = await house.database.db.execute(sql`select 1 from partials limit 1`);
      return rows.length === 0;
    });
    expect((await outcomeOf(three)).summary).toBe(first.summary);
    expect(await checkLedger(house.database)).toEqual([]);
  });
});
