import { randomUUID } from 'node:crypto';
import { createStatements, openDatabase } from '@bullpen/db';
import { databaseForTest } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { expect, it } from 'vitest';

it('a look for what is due reads that, and not what runs or was told, by a plan that was made on empty tables', async () => {
  const database = await databaseForTest();
  const kept = openDatabase({ url: database.url, max: 1, name: 'kept', durable: true, keepsPlans: true });
  const statements = createStatements(kept.db, { reconnectMs: 1000 });
  const take = () =>
    statements.takeTellings({ most: 64, busy: [{ owner: '', host: 'slow.example.org:443' }], full: [], leaseMs: 1000 });
  for (let times = 0; times < 6; times += 1) expect(await take()).toEqual([]);
  await database.db.execute(sql`
    with made as (
      insert into batches (no, id, handler, state, total, options, tell_at)
      select i, gen_random_uuid(), 'echo', case when i % 2 = 0 then 'running' else 'completed' end, 1, '{}',
        case when i % 2 = 0 then now() when i > 9990 then now() - make_interval(secs => i) end
      from generate_series(1, 10000) i returning no)
    insert into webhooks (batch, url, host, secret) select no, 'https://example.org/', 'example.org:443', 'secret' from made`);
  const rowsRead = async (): Promise<number> => {
    await kept.db.execute(sql`select pg_stat_force_next_flush()`);
    const [row] = await database.db.execute<{ rows: string }>(
      sql`select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) as rows from pg_stat_user_tables where relname in ('batches', 'webhooks')`,
    );
    return Number(row!.rows);
  };
  await database.db.execute(sql`select pg_stat_force_next_flush()`);
  const before = await rowsRead();
  const taken = await take();
  expect(new Set(taken.map(({ no }) => no))).toEqual(new Set([9991, 9993, 9995, 9997, 9999]));
  expect(new Set(taken.map(({ delivery }) => delivery)).size).toBe(5);
  expect(await take()).toEqual([]);
  expect((await rowsRead()) - before).toBeLessThan(200);
  const one = {
    ...taken[0]!,
    status: 500,
    error: 'it was answered 500',
    nextMs: 0,
    patienceMs: 60_000,
    delivered: false,
  };
  expect(await statements.tell({ ...one, delivery: randomUUID() })).toBeNull();
  expect(await statements.tell(one)).toBe('waiting');
  expect(await take()).toMatchObject([{ no: one.no, delivery: one.delivery, attempts: 2 }]);
  await kept.close();
});

it('one take gives a host a few places, and each host that is free some', async () => {
  const { db, statements } = await databaseForTest();
  await db.execute(sql`
    with made as (
      insert into batches (no, id, handler, state, total, options, tell_at)
      select i, gen_random_uuid(), 'echo', 'completed', 1, '{}', now() from generate_series(1, 60) i returning no)
    insert into webhooks (batch, url, host, secret) select no, 'https://x/', case when no <= 40 then 'many' else 'other' || no % 4 end, 'secret' from made`);
  const hostsOf = async (most: number, busy: string[] = []): Promise<string[]> =>
    (
      await statements.takeTellings({
        most,
        busy: busy.map((host) => ({ owner: '', host })),
        full: [],
        leaseMs: 60_000,
      })
    ).map(({ host }) => host);
  const first = await hostsOf(10);
  // Each host before a second one of any.
  expect(new Set(first)).toEqual(new Set(['many', 'other0', 'other1', 'other2', 'other3']));
  expect(first).toHaveLength(10);
  const rest = await hostsOf(64, ['other0', 'other1', 'other2', 'other3']);
  expect(rest).toEqual(Array.from({ length: 8 }, () => 'many'));
  expect(await hostsOf(64, ['many', 'other0', 'other1', 'other2', 'other3'])).toEqual([]);
});

it('one take gives an owner a part, and what it has at a host is in no other owner’s way', async () => {
  const { db, statements } = await databaseForTest();
  await db.execute(sql`
    with made as (
      insert into batches (no, id, owner, handler, state, total, options, tell_at)
      select i, gen_random_uuid(), case when i = 60 then 'acme' else 'bob' end, 'echo', 'completed', 1, '{}', now() - make_interval(secs => 100 - i)
      from generate_series(1, 60) i returning no)
    insert into webhooks (batch, url, host, secret) select no, 'https://x/', case when no in (1, 60) then 'both' else 'host' || no end, 'secret' from made`);
  const take = (full: string[]) =>
    statements.takeTellings({ most: 64, busy: [{ owner: 'bob', host: 'both' }], full, leaseMs: 60_000 });
  const first = await take([]);
  expect(first.filter(({ owner }) => owner === 'bob')).toHaveLength(16);
  expect(first.filter(({ owner }) => owner === 'acme')).toMatchObject([{ no: 60, host: 'both' }]);
  expect(await take(['bob'])).toEqual([]);
});
