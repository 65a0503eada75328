import { randomUUID } from 'node:crypto';
import { createLog } from '@bullpen/runtime';
import { databaseForTest, eventually, idleFacts, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { expect, test } from 'vitest';
import { createHelping } from '../src/helping.ts';
import { createOwnership } from '../src/ownership.ts';
import { createServing } from '../src/serving.ts';

const log = createLog({ name: 'test', level: 'silent', pretty: false });

/** A worker's ownership over a real database; what its consumers get is the test's business. */
async function join({ statements }: TestDatabase, leaseMs: number, pins: number[] | null = null) {
  const workerId = randomUUID();
  await statements.register({
    id: workerId,
    name: 'w',
    host: 'h',
    pid: 1,
    handlers: [],
    concurrency: 1,
    facts: idleFacts,
    pins,
  });
  const consumers = new Map<number, { jobs: number; process: () => void; closed: boolean; drained: () => void }>();
  const serving = createServing({
    openConsumer: (partition, prefetch, process) => {
      let drained = (): void => undefined;
      const over = new Promise<void>((resolve) => (drained = resolve));
      const job = { chunk: 1, generation: 1, batch: 'b', items: 1 };
      consumers.set(partition, {
        jobs: prefetch,
        process: () => void process(job, 0),
        closed: false,
        drained,
      });
      const consumer = consumers.get(partition)!;
      return {
        prefetch: (jobs) => void (consumer.jobs = jobs),
        close: () => ((consumer.closed = true), over),
      };
    },
    process: () => new Promise(() => undefined),
    onClosing: () => undefined,
    isHelping: () => false,
    handsMax: () => 8,
  });
  const helping = createHelping({ statements, workerId, leaseMs, log });
  const ownership = createOwnership({
    statements,
    workerId,
    leaseMs,
    serving,
    helping,
    onDrained: () => undefined,
    log,
  });
  const open = (): number[] => [...consumers].flatMap(([no, { closed }]) => (closed ? [] : [no]));
  return { workerId, consumers, ownership, open };
}
const owners = async ({ db }: TestDatabase): Promise<Record<number, string>> =>
  Object.fromEntries(
    ((await db.execute(sql`select no, owner from partitions`)) as unknown as { no: number; owner: string }[]).map(
      ({ no, owner }) => [no, owner],
    ),
  );

test('it starts items only while its leases hold by its own clock, and again after a renewal', async () => {
  const database = await databaseForTest({ partitions: 2 });
  const { ownership } = await join(database, 500);
  await ownership.renew();
  expect(ownership.isFresh()).toBe(true);
  await eventually('0.8 leases are over', () => !ownership.isFresh());
  await ownership.renew();
  expect(ownership.isFresh()).toBe(true);
});

test('what is too much is given back once it is drained, first where least is in hand; the rest goes on', async () => {
  const database = await databaseForTest({ partitions: 4 });
  const [a, b] = [await join(database, 60_000), await join(database, 60_000)];
  await database.db.execute(sql`update workers set draining = true where id = ${b.workerId}`);
  await a.ownership.renew();
  expect(a.open()).toEqual([0, 1, 2, 3]);
  expect(a.consumers.get(0)!.jobs).toBe(66);
  for (const no of [1, 2, 3]) a.consumers.get(no)!.process();
  a.consumers.get(3)!.process();
  await database.db.execute(sql`update workers set draining = false`);
  await a.ownership.renew();
  // 0 has nothing in hand; of 1 and 2, which have the same, the last.
  expect(a.open()).toEqual([1, 3]);
  await b.ownership.renew();
  await a.ownership.renew();
  expect(Object.values(await owners(database))).toEqual(Array(4).fill(a.workerId));
  a.consumers.get(2)!.drained();
  await eventually('it is given back', async () => (await a.ownership.renew(), (await owners(database))[2] === null));
  await b.ownership.renew();
  expect(b.open()).toEqual([2]);
  expect((await owners(database))[0]).toBe(a.workerId);
  expect(a.open()).toEqual([1, 3]);
  expect(a.consumers.get(1)!.jobs).toBe(67);
});

test('what others took while it was away is closed, and what is pinned to another by now is given up', async () => {
  const database = await databaseForTest({ partitions: 3 });
  const a = await join(database, 60_000);
  await a.ownership.renew();
  const pinned = await join(database, 60_000, [2]);
  await a.ownership.renew();
  expect(a.open()).toEqual([0, 1]);
  await database.db.execute(sql`update partitions set owner = ${pinned.workerId} where no = 0`);
  await a.ownership.renew();
  expect(a.open()).toEqual([1]);
});

test('retiring keeps each partition until it is drained, and ends when the last is given back', async () => {
  const database = await databaseForTest({ partitions: 2 });
  const a = await join(database, 60_000);
  await a.ownership.renew();
  let over = false;
  const retired = a.ownership.retire().then(() => (over = true));
  await eventually('it takes no more', () => a.open().length === 0);
  await a.ownership.renew();
  expect(Object.values(await owners(database))).toEqual([a.workerId, a.workerId]);
  a.consumers.get(0)!.drained();
  await eventually('one is free', async () => (await a.ownership.renew(), (await owners(database))[0] === null));
  expect(over).toBe(false);
  expect((await owners(database))[1]).toBe(a.workerId);
  a.consumers.get(1)!.drained();
  await eventually('both are', async () => (await a.ownership.renew(), over));
  await retired;
  expect(Object.values(await owners(database))).toEqual([null, null]);
});

test('who owns nothing for a second serves the partitions of an owner, until it has its own', async () => {
  const database = await databaseForTest({ partitions: 1 });
  const [a, b] = [await join(database, 60_000), await join(database, 60_000)];
  await a.ownership.renew();
  await b.ownership.renew();
  expect(b.open()).toEqual([]);
  await eventually('it helps', async () => (await b.ownership.renew(), b.open().length === 1));
  expect(b.ownership.partitions()).toEqual([]);
  await database.statements.leave(a.workerId);
  await database.db.execute(sql`update partitions set owner = null`);
  await b.ownership.renew();
  // It goes on with the consumer that it has.
  expect([b.ownership.partitions(), b.open()]).toEqual([[0], [0]]);
  const [row] = await database.statements.workers({ leaseMs: 60_000 });
  expect(row).toMatchObject({ id: b.workerId, helping: null });
});
