import { randomUUID } from 'node:crypto';
import type { Claimed, Settled } from '@bullpen/db';
import { checkLedger, databaseForTest, idleFacts, type TestDatabase, texts } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, it } from 'vitest';

const options = '{"maxAttempts":3}';

/** A count batch, or one with inputs in rows of `size`. */
async function accept({ statements }: TestDatabase, total: number, size: number, inputs = false) {
  const batch = { id: randomUUID(), name: null, handler: 'echo', total, params: null, options };
  const rows = Array.from({ length: Math.ceil(total / size) }, (_, row) => ({
    first: row * size,
    size: Math.min(size, total - row * size),
    items: JSON.stringify(Array.from({ length: size }, (_, i) => row * size + i)),
  }));
  const no = inputs ? await statements.acceptInputs(batch, rows) : await statements.acceptCount(batch, size);
  return { ...batch, no };
}

async function claimAll(database: TestDatabase, alone = true, worker: string = randomUUID()) {
  const { statements } = database;
  const slots = Array.from({ length: 200 }, (_, i) => i % 12);
  const marked = await statements.mark({ handlers: ['echo'], slots, itemsMax: 1_000_000 });
  const claim = randomUUID();
  const nos = marked.map(({ no }) => no).sort((a, b) => a - b);
  const held = await statements.claim({ nos, claim, worker, handlers: ['echo'], alone });
  return { held, claim, worker, nos };
}

const indexesOf = (chunk: { first: number; size: number; picks: number[] | null }): number[] =>
  chunk.picks ?? Array.from({ length: chunk.size }, (_, i) => chunk.first + i);

const settle = (chunk: Claimed, claim: string, more: Partial<Settled> = {}): Settled => ({
  no: chunk.no,
  claim,
  first: chunk.first,
  succeeded: chunk.size,
  outputs: texts(indexesOf(chunk)),
  indexes: indexesOf(chunk),
  failures: [],
  rests: [],
  ...more,
});

/** All items of a chunk are to be tried again. */
const again = (chunk: Claimed, claim: string, merge: string): Settled =>
  settle(chunk, claim, {
    succeeded: 0,
    outputs: '',
    indexes: [],
    rests: [
      { first: chunk.first, size: chunk.size, picks: chunk.picks, attempt: chunk.attempt + 1, delayMs: 0, merge, srcs: chunk.inputs.map(({ first }) => first) },
    ],
  }); // prettier-ignore

const repair = ({ statements }: TestDatabase) => statements.repair({ leaseMs: 500 });

/** Claims all that waits under workers that are gone, and repairs. */
async function crash(database: TestDatabase) {
  await claimAll(database);
  return repair(database);
}

describe('repair', () => {
  it('counts crashes, and a chunk with two of them is claimed only alone', async () => {
    const database = await databaseForTest();
    await accept(database, 20, 10);
    for (let crashes = 0; crashes < 2; crashes += 1) {
      expect((await crash(database)).map(({ fate }) => fate)).toEqual(['waits', 'waits']);
      expect(await repair(database)).toEqual([]);
    }
    const { held, nos, claim, worker } = await claimAll(database, false);
    expect(held).toMatchObject([{ taken: false, crashes: 2 }, { taken: false }]);
    expect(await repair(database)).toEqual([]);
    const request = { nos, claim, worker, handlers: ['echo'], alone: true };
    expect(await database.statements.claim(request)).toMatchObject([{ taken: true }, { taken: true }]);
  });

  it('splits a chunk at the third crash, and fails an item that has died alone twice more', async () => {
    const database = await databaseForTest();
    const { id, no } = await accept(database, 10, 10, true);
    await crash(database);
    await crash(database);
    expect(await crash(database)).toMatchObject([{ size: 10, fate: 'split' }]);
    expect(await repair(database)).toEqual([]);
    expect(await checkLedger(database)).toEqual([]);
    const { held, claim, ...third } = await claimAll(database);
    expect(held.map(({ first, size, crashes, inputs }) => [first, size, crashes, inputs[0]!.first])).toEqual(
      Array.from({ length: 10 }, (_, index) => [index, 1, 2, 0]),
    );
    const [poison, ...innocent] = held;
    await database.statements.flush(innocent.map((chunk) => settle(chunk, claim)));
    expect(await database.statements.counts(id)).toMatchObject({ state: 'running', succeeded: 9, running: 1 });
    expect(await database.statements.abandon({ worker: third.worker, crashed: true })).toMatchObject([
      { no: poison!.no, fate: 'waits' },
    ]);
    const { worker } = await claimAll(database);
    expect(await database.statements.abandon({ worker, crashed: true })).toEqual([
      { no: poison!.no, size: 1, fate: 'failed', durable: 'on' },
    ]);
    expect(await database.statements.abandon({ worker, crashed: true })).toEqual([]);
    expect(await database.statements.flush([settle(poison!, claim)])).toEqual([]);
    expect(await database.statements.counts(id)).toMatchObject({ state: 'completed', succeeded: 9, failed: 1 });
    const [row] = await database.statements.results({
      batch: no,
      after: -1,
      limit: 10,
      status: 'failed',
      maxBytes: 1e6,
    });
    expect(JSON.parse(row!.error!)).toMatchObject({ code: 'worker-lost' });
    expect(row).toMatchObject({ index: 0, attempts: 1, fingerprint: expect.stringMatching(/^[0-9a-f]{12}$/) });
    expect(await checkLedger(database)).toEqual([]);
    expect(await database.statements.retry(no)).toBe(1);
    expect((await claimAll(database)).held).toMatchObject([{ first: 0, crashes: 0, inputs: [{ first: 0 }] }]);
  });

  it('keeps the crashes of a rest, also of one that is tried again', async () => {
    const database = await databaseForTest();
    await accept(database, 10, 10);
    await crash(database);
    const { held, claim } = await claimAll(database);
    await database.statements.flush([again(held[0]!, claim, 'same')]);
    expect((await claimAll(database)).held).toMatchObject([{ size: 10, crashes: 1, attempt: 2 }]);
  });
});

describe('abandon', () => {
  it('takes from one worker what it has, and charges it only where it should', async () => {
    const database = await databaseForTest();
    const { statements } = database;
    await accept(database, 10, 10);
    const mine = await claimAll(database);
    await accept(database, 10, 10);
    const other = await claimAll(database);
    expect(await statements.abandon({ worker: mine.worker, crashed: false })).toMatchObject([{ fate: 'waits' }]);
    const second = await claimAll(database);
    expect(second.held).toMatchObject([{ no: mine.nos[0], crashes: 0 }]);
    expect(await statements.holding({ worker: second.worker, no: second.nos[0]! })).toMatchObject({
      no: second.nos[0],
      claim: second.claim,
      inputs: [],
      options: { maxAttempts: 3 },
    });
    expect(await statements.abandon({ worker: second.worker, crashed: true })).toHaveLength(1);
    expect(await statements.holding({ worker: second.worker, no: second.nos[0]! })).toBeNull();
    expect((await claimAll(database)).held).toMatchObject([{ crashes: 1 }]);
    expect(await statements.flush([settle(other.held[0]!, other.claim)])).toHaveLength(1);
  });
});

describe('stay', () => {
  it('renews a worker and its partitions, and brings back none that is gone', async () => {
    const database = await databaseForTest({ partitions: 4 });
    const { statements } = database;
    const worker = randomUUID();
    await statements.register({
      id: worker,
      name: 'w',
      host: 'h',
      pid: 1,
      handlers: ['echo'],
      concurrency: 4,
      facts: idleFacts,
    });
    await statements.own({ worker, leaseMs: 60_000, releasing: [] });
    await accept(database, 10, 10);
    await claimAll(database, true, worker);
    const age = async (): Promise<void> => {
      await database.db.execute(sql`update workers set seen = now() - interval '1 day'`);
      await database.db.execute(sql`update partitions set expires_at = now() - interval '1 day'`);
    };
    const owned = async (): Promise<number> => {
      const rows = await database.db.execute(sql`select count(*)::int as n from partitions where expires_at > now()`);
      return Number(rows[0]!['n']);
    };
    await age();
    await statements.stay({ worker, leaseMs: 60_000 });
    expect(await owned()).toBe(4);
    expect(await repair(database)).toEqual([]);
    await age();
    await statements.leave(worker);
    await statements.stay({ worker, leaseMs: 60_000 });
    expect(await owned()).toBe(0);
    expect(await repair(database)).toHaveLength(1);
  });
});

describe('rests of one flush', () => {
  it('share a row, which knows where the inputs of each item are', async () => {
    const database = await databaseForTest();
    const { no } = await accept(database, 40, 10, true);
    const { held, claim } = await claimAll(database);
    const [a, b, c, d] = held as [Claimed, Claimed, Claimed, Claimed];
    await database.statements.flush([again(a, claim, 'x'), again(b, claim, 'x'), again(c, claim, 'y')]);
    await database.statements.flush([again(d, claim, 'x')]);
    expect(await checkLedger(database)).toEqual([]);
    const second = await claimAll(database);
    expect(second.held.map(({ first, size, picks, attempt, inputs }) => [first, size, picks, attempt, inputs.map((row) => row.first)])).toEqual([
      [20, 10, null, 2, [20]],
      [0, 20, null, 2, [0, 10]],
      [30, 10, null, 2, [30]],
    ]); // prettier-ignore
    // An item that fails out of several rows of inputs is found again by retry.
    const merged = second.held[1]!;
    const failures = [{ index: 13, error: { code: 'bad', message: 'at 13' } }];
    const indexes = indexesOf(merged).filter((index) => index !== 13);
    await database.statements.flush([
      settle(merged, second.claim, { succeeded: 19, outputs: texts(indexes), indexes, failures }),
      ...[second.held[0]!, second.held[2]!].map((chunk) => settle(chunk, second.claim)),
    ]);
    expect(await checkLedger(database)).toEqual([]);
    expect(await database.statements.retry(no)).toBe(1);
    expect((await claimAll(database)).held).toMatchObject([{ first: 13, size: 1, inputs: [{ first: 10 }] }]);
  });

  it('leave out the items of a chunk that is fenced', async () => {
    const database = await databaseForTest();
    await accept(database, 30, 10);
    const { held, claim } = await claimAll(database);
    await database.db.execute(sql`update chunks set claim = gen_random_uuid() where no = ${held[1]!.no}`);
    const settled = held.map((chunk) => again(chunk, claim, 'x'));
    expect((await database.statements.flush(settled)).map((row) => row.no)).toEqual([held[0]!.no, held[2]!.no]);
    expect(await database.statements.flush(settled)).toEqual([]);
    expect(await checkLedger(database)).toEqual([]);
    const rests = (await claimAll(database)).held;
    expect(rests).toHaveLength(1);
    expect(indexesOf(rests[0]!)).toEqual([...indexesOf(held[0]!), ...indexesOf(held[2]!)]);
  });
});
