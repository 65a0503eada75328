import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { publishQueueSize } from '@bullpen/queue';
import { type BatchAnswer, checkLedger, eventually, freePort, type House, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';

let house: House;
afterEach(() => house.stop());

/** A node without a block at every tenth height. */
async function openNode(): Promise<string> {
  const server = createServer((request, response) => {
    const height = Number(request.url!.slice(1));
    if (height % 10 === 3) response.writeHead(404).end();
    else response.end(`{"hash":"h${height}"}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/{height}`;
}

/** Result rows of all batches, by what they say. */
async function rowsOf(): Promise<{ good: number; bad: number }> {
  const [row] = await house.database.db.execute<{ good: number; bad: number }>(sql`
    select count(*) filter (where status = 1)::int as good, count(*) filter (where status = 2)::int as bad from results`);
  return row!;
}

/** How often PostgreSQL was killed: it forgets together what it had not written yet, counts and rows. */
let crashes = 0;

async function crashPostgres(): Promise<void> {
  crashes += 1;
  process.kill(await house.servers.pidOf('postgres'), 'SIGKILL');
  await eventually('PostgreSQL is back', () => rowsOf().then(() => true, () => false)); // prettier-ignore
}

/** Reads the counts of a batch, then the rows that there are, again and again. Answers how many reads were judged. */
async function judgeReads(id: string, until: () => boolean): Promise<number> {
  let judged = 0;
  while (!until()) {
    const before = crashes;
    const found = await house.batch(id).catch(() => null);
    const rows = found?.counts === undefined ? null : await rowsOf().catch(() => null);
    if (rows !== null && crashes === before) {
      judge(found!, rows);
      judged += 1;
    }
    await sleep(10);
  }
  return judged;
}

function judge({ counts }: BatchAnswer, { good, bad }: { good: number; bad: number }): void {
  const { total, pending, running, succeeded, failed, cancelled } = counts;
  expect(pending + running + succeeded + failed + cancelled).toBe(total);
  expect(succeeded).toBeLessThanOrEqual(good);
  expect(failed).toBeLessThanOrEqual(bad);
}

describe('index-block', () => {
  it('counts nothing that is not stored, while workers, producer and PostgreSQL are killed: one result a height, failures apart', async () => {
    const [heights, start] = [12_000, 5000];
    const env = { WORKER_CONCURRENCY: '50', PORT: await freePort() };
    house = await startHouse({ workers: 2, ownServers: true, env });
    const url = await openNode();
    const id = await house.submit({
      handler: 'index-block',
      count: heights,
      params: { chain: 'wall', start, url },
      options: { chunkSize: 100 },
    });
    // What was answered 202 is on the disk.
    await crashPostgres();
    const accepted = await eventually('the producer answers', () => house.batch(id).catch(() => null));
    expect(accepted.counts.total).toBe(heights);

    let over = false;
    const judging = judgeReads(id, () => over);
    // It is told below; until then the faults go on.
    judging.catch(() => undefined);
    const at = (share: number): Promise<unknown> =>
      eventually(`${share} of it is done`, async () => (await rowsOf().catch(() => ({ good: 0 }))).good > heights * share, 30_000);
    await at(0.1);
    await house.workers[0]!.end('SIGKILL');
    await house.workers[0]!.restart();
    await at(0.3);
    await house.producer.end('SIGKILL');
    await house.producer.restart();
    await at(0.5);
    await crashPostgres();
    await at(0.7);
    await Promise.all(house.workers.map((worker) => worker.end('SIGKILL')));
    await house.workers[1]!.restart();

    const { counts, state } = await house.ended(id, 40_000);
    over = true;
    expect(await judging).toBeGreaterThan(20);
    expect({ state, ...counts }).toMatchObject({ state: 'completed', total: heights, succeeded: heights * 0.9, failed: heights * 0.1 });
    const [one] = await house.database.db.execute(sql`
      select count(*)::int as heights, count(distinct output->>'height')::int as different,
        min((output->>'height')::int) as least, max((output->>'height')::int) as greatest from results where status = 1`);
    expect(one).toEqual({ heights: heights * 0.9, different: heights * 0.9, least: start, greatest: start + heights - 1 });
    const failures = await house.request<{ items: object[] }>(`/v1/batches/${id}/failures`);
    expect(failures.body.items).toMatchObject([{ code: 'http-404', count: heights * 0.1, firstIndex: 3 }]);
    expect(await checkLedger(house.database)).toEqual([]);
  }, 120_000); // prettier-ignore

  it('in eight batches at once leaves parallelism and queue size as they were, and nothing queued', async () => {
    const parallelism = 3;
    house = await startHouse({ workers: 3, env: { PUBLISH_PARALLELISM: String(parallelism) } });
    const heights = 20_000;
    const submit = (at: number): Promise<string> =>
      house.submit({ handler: 'index-block', count: heights, params: { chain: 'many', start: at * heights } });
    const published = (id: string): Promise<Record<string, unknown>[]> =>
      eventually('it is told what was published', () => {
        const lines = house.producer.log().split('\n').filter((line) => line.includes(id) && line.includes('"published"')); // prettier-ignore
        return lines.length > 0 && lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      });

    const ids = [await submit(0)];
    await house.ended(ids[0]!);
    ids.push(...(await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(submit))));
    for (const id of ids) expect((await house.ended(id)).counts).toMatchObject({ succeeded: heights, failed: 0 });
    ids.push(await submit(9));
    await house.ended(ids.at(-1)!);

    const queueSize = publishQueueSize({ parallelism, batchSize: 100 * 1000 });
    for (const id of ids)
      for (const line of await published(id)) expect(line).toMatchObject({ failed: 0, parallelism, queueSize });
    const left = await house.database.db.execute(sql`select from chunks where state in ('queued', 'running')`);
    expect(left.length).toBe(0);
    const [{ different }] = (await house.database.db.execute(sql`
      select count(distinct output->>'height')::int as different from results`)) as unknown as [{ different: number }];
    expect(different).toBe(10 * heights);
    expect(await checkLedger(house.database)).toEqual([]);
  }, 60_000); // prettier-ignore
});
