import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@bullpen/api';
import {
  checkLedger,
  createAttempts,
  createDice,
  eventually,
  type House,
  readOrder,
  startHouse,
} from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const env = { HANDLERS: 'libs/handlers/src,libs/testkit/handlers', WORKER_CONCURRENCY: '50' };
const ordered = { groupBy: 'key', ordered: true, open: true };

const client = () => createClient({ url: house.url() });
const openStream = (handler: string, options: object): Promise<string> => house.submit({ handler, options });

/** Appends; answers the index of the first item. */
async function append(id: string, items: readonly object[]): Promise<number> {
  const { status, body } = await house.request<{ firstIndex: number }>(`/v1/batches/${id}/items`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(items),
  });
  expect(status, JSON.stringify(body)).toBe(202);
  return body.firstIndex;
}

const close = async (id: string): Promise<void> => {
  expect((await house.request(`/v1/batches/${id}/close`, { method: 'POST' })).status).toBe(200);
};

async function rows<Row>(query: ReturnType<typeof sql>): Promise<Row[]> {
  return (await house.database.db.execute(query)) as unknown as Row[];
}

const settled = async (id: string, items: number): Promise<boolean> => {
  const { succeeded, failed } = (await house.batch(id)).counts;
  return succeeded + failed === items;
};

describe('an open batch in order', () => {
  it('is consumed in the order of each key while clients append, workers come and go, and one is killed', async () => {
    house = await startHouse({ workers: 1, env });
    await createAttempts(house.database);
    const dice = createDice(Date.now());
    const id = await openStream('grouped', ordered);
    const appendedAt: { first: number; count: number; at: number }[] = [];
    const until = performance.now() + 4000;
    const appending = Array.from({ length: 3 }, async () => {
      while (performance.now() < until) {
        const count = 1 + dice.below(10);
        const items = Array.from({ length: count }, () => ({
          key: `k${dice.below(40)}`, ms: dice.below(4), retries: dice.chance(0.03) ? 1 : 0,
        })); // prettier-ignore
        const first = await append(id, items);
        appendedAt.push({ first, count, at: Date.now() });
        await dice.wait(100);
      }
    });
    await sleep(1500);
    await Promise.all([house.addWorker(), house.addWorker()]);
    await sleep(1000);
    await house.workers[1]!.end('SIGKILL');
    await Promise.all(appending);
    const total = appendedAt.reduce((sum, { count }) => sum + count, 0);
    await eventually('all is consumed', () => settled(id, total));
    expect((await house.batch(id)).state).toBe('running');
    await close(id);
    expect(await house.ended(id)).toMatchObject({ state: 'completed', counts: { total, succeeded: total, failed: 0 } });
    expect(await checkLedger(house.database)).toEqual([]);
    expect(await readOrder(house.database)).toMatchObject({ committed: total, inversions: [], gaps: [] });
    const [late] = await rows<object>(sql`
      select percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by extract(epoch from finished_at)::float8 * 1000 - at) as ms
      from results r join json_to_recordset(${JSON.stringify(appendedAt)}::json) a(first bigint, count int, at float8) on r.index >= a.first and r.index < a.first + a.count`);
    console.log(`${total} items in ${appendedAt.length} appends; from the answer to the result`, late);
  });

  it('begins what is appended to a line soon, though an item of another group in it is slow or waits to be tried again', async () => {
    house = await startHouse({ workers: 1, partitions: 1, env });
    await createAttempts(house.database);
    const id = await openStream('grouped', ordered);
    const begun = async (index: number): Promise<boolean> =>
      (await rows(sql`select from attempts where index = ${index} and phase = 'start'`)).length > 0;
    const isFinal = async (index: number): Promise<boolean> =>
      (await house.request(`/v1/batches/${id}/results/${index}`)).status === 200;
    for (const first of [{ ms: 60_000 }, { retries: 1, waitMs: 60_000 }, { retries: 1, waitMs: 900 }]) {
      const held = await append(id, [{ key: `held ${JSON.stringify(first)}`, ...first }]);
      await eventually('it has begun', () => begun(held));
      const took: number[] = [];
      for (let n = 0; n < 3; n += 1) {
        const at = performance.now();
        const next = await append(id, [{ key: 'next' }]);
        await eventually('one of another group is over', () => isFinal(next));
        took.push(Math.round(performance.now() - at));
      }
      if (first.waitMs !== 900) expect(await isFinal(held)).toBe(false);
      console.log(`beside ${JSON.stringify(first)}: ms`, took);
    }
  });
});

describe('a crash of the server that loses the end of a turn', () => {
  it('keeps back what the next turn claims after it, until what was lost has run again', async () => {
    house = await startHouse({ workers: 1, partitions: 1, env });
    await createAttempts(house.database);
    const id = await openStream('grouped', ordered);
    await append(id, [{ key: 'k' }]);
    await eventually('the first is over, and its turn', async () => {
      const [worker] = await rows<{ idle: boolean }>(
        sql`select facts->>'chunksInFlight' = '0' and seen > (select max(finished_at) from results) as idle from workers`,
      );
      return worker?.idle;
    });
    const slow = await append(id, [{ key: 'slow', ms: 5000 }]);
    const begun = sql`select from attempts where index = ${slow} and phase = 'start'`;
    await eventually('the next turn has begun', async () => (await rows(begun)).length > 0);
    // As the server comes back: without the flush of the first turn, and without the claim of the next one.
    await house.database.db.execute(sql`
      with gone as (delete from results returning batch), counted as (update batches set succeeded = 0)
      update chunks set state = 'pending', size = 1, settled = 0, round = 0, picks = null, claim = null, worker = null`);
    await append(id, [{ key: 'k' }]);
    await close(id);
    expect((await house.ended(id)).counts).toMatchObject({ total: 3, succeeded: 3 });
    expect(await checkLedger(house.database)).toEqual([]);
    expect(await readOrder(house.database)).toMatchObject({ committed: 3, inversions: [], gaps: [] });
  });
});

describe('a worker that has lost a partition and lives', () => {
  it.each(['another', 'itself'])(
    'lets go of its lines while slow items of them still run, so that who owns them then goes on: %s',
    async (owner) => {
      house = await startHouse({ workers: 1, partitions: 1, env });
      await house.addWorker();
      await createAttempts(house.database);
      const id = await openStream('grouped', ordered);
      const slow = await append(id, [{ key: 'slow', ms: 120_000 }]);
      const begun = sql`select from attempts where index = ${slow} and phase = 'start'`;
      await eventually('it has begun', async () => (await rows(begun)).length > 0);
      // As after an outage that was longer than a lease: the first that is back takes what has expired. It keeps it if it is the oldest.
      await house.database.db.execute(sql`
      with older as (update workers set started_at = clock_timestamp() where ${owner === 'another'} and id = any(select owner from partitions))
      update partitions set owner = (select id from workers where id <> owner), lease = gen_random_uuid(), epoch = epoch + 1,
        taken_at = clock_timestamp(), expires_at = clock_timestamp() + interval '1500 ms'`);
      const next = await append(id, [{ key: 'next' }]);
      const isFinal = async (): Promise<boolean> =>
        (await house.request(`/v1/batches/${id}/results/${next}`)).status === 200;
      await eventually('one of another group is over', isFinal);
      expect(await checkLedger(house.database)).toEqual([]);
    },
  );
});

describe('slow items in all lines of a worker', () => {
  it('keep no other group and no other batch from it, however busy these lines are', async () => {
    house = await startHouse({ workers: 1, env });
    await createAttempts(house.database);
    const id = await openStream('grouped', ordered);
    await append(
      id,
      Array.from({ length: 36 }, (_, i) => ({ key: `slow ${i}`, ms: 60_000 })),
    );
    const begun = async (from: number, to: number): Promise<boolean> =>
      (await rows(sql`select from attempts where index between ${from} and ${to} and phase = 'start'`)).length ===
      to - from + 1;
    await eventually('all slow ones have begun', () => begun(0, 35));
    for (let round = 0; round < 10; round += 1) {
      await append(
        id,
        Array.from({ length: 60 }, (_, i) => ({ key: `quick ${i % 30}`, ms: 10 })),
      );
      await sleep(100);
    }
    const others = await Promise.all([
      house.submit({ handler: 'echo', count: 500 }),
      house.submit({
        handler: 'echo',
        inputs: Array.from({ length: 100 }, (_, i) => ({ key: `k${i}` })),
        options: { groupBy: 'key', ordered: true },
      }),
    ]);
    for (const other of others) expect((await house.ended(other)).state).toBe('completed');
    await eventually('the quick ones are over', () => settled(id, 600));
  });
});

describe('an open batch that outgrew 2^31 items', () => {
  it.each([{}, { groupBy: 'key', ordered: true }])('runs, is read and tried again: %j', async (options) => {
    house = await startHouse({ workers: 1, env });
    const id = await openStream('fail', { ...options, open: true, maxAttempts: 1 });
    const big = 2 ** 31 + 5;
    await house.database.db.execute(sql`
      with b as (update batches set total = ${big}, succeeded = ${big} where id = ${id}::uuid returning no)
      insert into chunks (batch, first, size, src, state) select no, 0, size, -1, 'done' from b, unnest(array[1000000000, 1000000000, ${big - 2e9}::int]) size`);
    const items = Array.from({ length: 12 }, (_, i) => ({ key: `k${i % 3}`, rate: i % 4 === 1 ? 1 : 0 }));
    expect(await append(id, items)).toBe(big);
    expect(await append(id, [{ key: 'k1', rate: 0 }])).toBe(big + 12);
    await eventually('all is over', () => settled(id, big + 13));
    expect((await house.batch(id)).counts).toMatchObject({ total: big + 13, succeeded: big + 10, failed: 3 });

    const all = Array.from({ length: 13 }, (_, i) => big + i);
    const page = await client().results(id, { limit: 5 });
    const next = await client().results(id, { limit: 100, cursor: page.nextCursor! });
    expect([...page.items, ...next.items].map(({ index }) => index)).toEqual(all);
    const lines: { index?: number; input?: { key: string } }[] = [];
    for await (const line of client().resultLines(id, { after: big + 3, inputs: true })) lines.push(JSON.parse(line));
    expect(lines.slice(0, -1).map(({ index, input }) => [index, input?.key])).toEqual(
      all
        .slice(4)
        .map((index) => [index, `k${((index - big) % 12) % 3 === 0 && index === big + 12 ? 1 : (index - big) % 3}`]),
    );
    expect(await client().result(id, big + 12)).toMatchObject({ index: big + 12, status: 'succeeded' });
    const failures = await house.request<{ items: object[] }>(`/v1/batches/${id}/failures`);
    expect(failures.body.items).toMatchObject([{ count: 3, firstIndex: big + 1, lastIndex: big + 9 }]);

    const [{ no }] = (await rows<{ no: number }>(sql`select no from batches where id = ${id}::uuid`)) as [
      { no: number },
    ];
    expect(await house.database.statements.retry(no)).toBe(3);
    await eventually('they have failed again', () => settled(id, big + 13));
    expect(await checkLedger(house.database)).toEqual([]);
    await close(id);
    expect((await house.ended(id)).counts).toMatchObject({ total: big + 13, failed: 3 });
    expect(await checkLedger(house.database)).toEqual([]);
  });
});

describe('the retention of an open batch', () => {
  it('takes what is old while more is appended, run and tried again, and every sum holds at every moment', async () => {
    house = await startHouse({ workers: 2, env: { ...env, RETENTION_DAYS: '1' } });
    const { db, statements } = house.database;
    // What becomes final is two days old at once.
    await db.execute(sql`create function grow_old() returns trigger language plpgsql as $$ begin
      if tg_table_name = 'chunks' then new.claimed_at := new.claimed_at - interval '2 days';
      else new.finished_at := new.finished_at - interval '2 days'; end if; return new; end $$`);
    await db.execute(sql`create trigger grow_old before insert on results for each row execute function grow_old()`);
    await db.execute(
      sql`create trigger grow_old before update on chunks for each row when (new.state = 'done' and old.state <> 'done') execute function grow_old()`,
    );
    const ids = [
      await openStream('fail', { open: true, maxAttempts: 1 }),
      await openStream('fail', { ...ordered, maxAttempts: 1 }),
    ];
    await db.execute(sql`update batches set created_at = created_at - interval '2 days'`);
    const dice = createDice(Date.now());
    const until = performance.now() + 4000;
    const again = async (act: () => Promise<unknown>): Promise<void> => {
      while (performance.now() < until) {
        await act();
        await dice.wait(50);
      }
    };
    const sums = { total: 0, trimmed: 0, retried: 0, reads: 0 };
    const nos = (await rows<{ no: number }>(sql`select no from batches order by no`)).map(({ no }) => no);
    const appendSome = (id: string) => async () => {
      const items = Array.from({ length: 1 + dice.below(400) }, () => ({ key: `k${dice.below(30)}`, rate: 0.05 }));
      await append(id, items);
      sums.total += items.length;
    };
    await Promise.all([
      ...ids.flatMap((id) => [again(appendSome(id)), again(appendSome(id))]),
      ...nos.map((batch) =>
        again(async () => (sums.trimmed += (await statements.trim({ batch, from: 0, days: 1 })).rows)),
      ),
      again(async () => (sums.retried += await statements.retry(nos[dice.below(2)]!))),
      again(async () => {
        sums.reads += 1;
        expect(await checkLedger(house.database)).toEqual([]);
      }),
    ]);
    console.log(JSON.stringify(sums));
    for (const count of Object.values(sums)) expect(count).toBeGreaterThan(10);
    const counted = async (): Promise<number> => {
      const counts = await Promise.all(ids.map(async (id) => (await house.batch(id)).counts));
      return counts.reduce((sum, { succeeded, failed }) => sum + succeeded + failed, 0);
    };
    await eventually('all is over', async () => (await counted()) === sums.total);
    // A producer that has just started looks at once.
    for (const id of ids) await append(id, [{ key: 'a', rate: 0 }]);
    await eventually('all is over', async () => (await counted()) === sums.total + 2);
    await house.producer.end('SIGKILL');
    await house.producer.restart();
    await eventually('all is gone', async () => {
      const [{ left }] = (await rows<{ left: number }>(
        sql`select (select count(*) from results)::int + (select count(*) from inputs)::int + (select count(*) from chunks)::int as left`,
      )) as [{ left: number }];
      return left === 2;
    });
    await eventually('it says so', () => /"trimmed":\d/.test(house.producer.log()));
    expect((await client().results(ids[0]!)).items).toEqual([]);
    for (const id of ids) {
      const first = await append(id, [{ key: 'a', rate: 0 }]);
      await close(id);
      await house.ended(id);
      expect((await client().results(id)).items.map(({ index }) => index)).toEqual([first]);
      expect((await house.request(`/v1/batches/${id}/results/0`)).status).toBe(404);
    }
    expect(await checkLedger(house.database)).toEqual([]);
  });
});
