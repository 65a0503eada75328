import { randomUUID } from 'node:crypto';
import { createDatabase, idleFacts, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const leaseMs = 5000;

let database: TestDatabase;
beforeAll(async () => void (database = await createDatabase({ partitions: 12 })));
afterAll(() => database.drop());
beforeEach(async () => {
  await database.db.execute(sql`delete from workers`);
  await database.db.execute(sql`update partitions set owner = null, expires_at = null, epoch = 0`);
});

interface Actor {
  id: string;
  name: string;
}
const join = async (name: string, pins: number[] | null = null, handlers = ['echo']): Promise<Actor> => {
  const id = randomUUID();
  await database.statements.register({ id, name, host: 'h', pid: 1, handlers, concurrency: 4, facts: idleFacts, pins });
  return { id, name };
};
const own = ({ id }: Actor, releasing: number[] = []) => database.statements.own({ worker: id, leaseMs, releasing });
const nos = (owned: Awaited<ReturnType<typeof own>>): number[] => owned.mine.map(({ no }) => no);

/** As a worker does: gives up at once what is pinned to others and what is too much. Answers what it has then. */
async function renew(actor: Actor): Promise<number[]> {
  const { mine, share } = await own(actor);
  const shared = mine.filter(({ hold }) => hold === 'shared').map(({ no }) => no);
  const foreign = mine.filter(({ hold }) => hold === 'foreign').map(({ no }) => no);
  return nos(await own(actor, [...foreign, ...shared.slice(share)]));
}
async function settle(...actors: Actor[]): Promise<number[][]> {
  for (let round = 0; round < 2; round += 1) for (const actor of actors) await renew(actor);
  return Promise.all(actors.map(async (actor) => nos(await own(actor))));
}
/** So long has it been silent: its row and its leases are that old. */
async function silent({ id }: Actor, ms: number): Promise<void> {
  const ago = sql`make_interval(secs => ${ms}::float8 / 1000)`;
  const lease = sql`make_interval(secs => ${leaseMs}::float8 / 1000)`;
  await database.db.execute(sql`update workers set seen = clock_timestamp() - ${ago} where id = ${id}`);
  await database.db.execute(
    sql`update partitions set expires_at = clock_timestamp() - ${ago} + ${lease} where owner = ${id}`,
  );
}
const back = ({ id }: Actor) => database.db.execute(sql`update workers set seen = clock_timestamp() where id = ${id}`);
const all = Array.from({ length: 12 }, (_, no) => no);

describe('fair shares', () => {
  it('are P over the workers, the first of them one more, and follow who comes and goes', async () => {
    const workers: Actor[] = [];
    for (let n = 0; n < 5; n += 1) workers.push(await join(`w${n}`));
    const held = await settle(...workers);
    expect(held.map((each) => each.length)).toEqual([3, 3, 2, 2, 2]);
    expect(held.flat().sort((a, b) => a - b)).toEqual(all);
    await database.statements.retire(workers[0]!.id);
    // It has its partitions until each is drained.
    expect(nos(await own(workers[0]!))).toEqual(held[0]);
    expect(await own(workers[0]!, [held[0]![0]!])).toMatchObject({ share: 0, mine: [{}, {}] });
    await own(workers[0]!, held[0]);
    await database.statements.leave(workers[0]!.id);
    expect((await settle(...workers.slice(1))).map((each) => each.length)).toEqual([3, 3, 3, 3]);
  });

  it('a partition goes to another only when it was given back or its lease has expired', async () => {
    const [a, b] = [await join('a'), await join('b')];
    expect(nos(await own(a))).toHaveLength(6);
    await silent(b, leaseMs + 1);
    expect(nos(await own(a))).toEqual(all);
    await back(b);
    expect(await own(b)).toMatchObject({ mine: [], share: 6 });
    await silent(a, leaseMs - 1000);
    expect(nos(await own(b))).toEqual([]);
    await silent(a, leaseMs + 1);
    expect(await own(b)).toMatchObject({ mine: all.map((no) => ({ no, epoch: 2 })) });
    expect(await own(a)).toMatchObject({ mine: [], share: 6 });
  });

  it('more workers than partitions: the last have none', async () => {
    const workers: Actor[] = [];
    for (let n = 0; n < 13; n += 1) workers.push(await join(`w${n}`));
    const held = await settle(...workers);
    expect(held.map((each) => each.length)).toEqual([...Array<number>(12).fill(1), 0]);
  });

  it('takers at the same time never get the same partition', async () => {
    const workers = await Promise.all(Array.from({ length: 4 }, (_, n) => join(`w${n}`)));
    for (let round = 0; round < 10; round += 1) {
      await database.db.execute(sql`update partitions set owner = null, expires_at = null`);
      const taken = (await Promise.all(workers.map((worker) => own(worker)))).flatMap(nos);
      expect(new Set(taken).size).toBe(taken.length);
    }
  });
});

describe('pins', () => {
  it('are taken by their worker alone; the others share the rest', async () => {
    const [a, b, pinned] = [await join('a'), await join('b'), await join('p', [0, 1, 2, 3, 11])];
    const [first] = await settle(a);
    expect(first).not.toContain(0);
    expect(await settle(a, b, pinned)).toEqual([
      expect.objectContaining({ length: 4 }),
      expect.objectContaining({ length: 3 }),
      [0, 1, 2, 3, 11],
    ]);
    expect(await own(pinned)).toMatchObject({ share: 0, pinned: 5, mine: [{ hold: 'pinned' }, {}, {}, {}, {}] });
  });

  it('are given up by who had them, once drained', async () => {
    const a = await join('a');
    await settle(a);
    const pinned = await join('p', [3]);
    expect(await own(pinned)).toMatchObject({ mine: [], pinned: 1 });
    const { mine, share } = await own(a);
    expect(mine.filter(({ hold }) => hold === 'foreign')).toMatchObject([{ no: 3, epoch: 1, hold: 'foreign' }]);
    expect(share).toBe(11);
    await own(a, [3]);
    expect(await own(pinned)).toMatchObject({ mine: [{ no: 3, epoch: 2, hold: 'pinned' }] });
  });

  it('pinned workers share the rest where nobody else is there', async () => {
    const [p, q] = [await join('p', [0, 1]), await join('q', [2])];
    const held = await settle(p, q);
    expect(held.map((each) => each.length)).toEqual([7, 5]);
    expect(held[0]).toEqual(expect.arrayContaining([0, 1]));
    expect(held[1]).toContain(2);
    const dynamic = await join('d');
    expect(await settle(p, q, dynamic)).toEqual([[0, 1], [2], [3, 4, 5, 6, 7, 8, 9, 10, 11]]);
  });

  it('a second worker with the same runs unpinned, hears of the first, and has them when that one is gone', async () => {
    const [first, second] = [await join('first', [0, 1, 2]), await join('second', [2, 3])];
    expect((await settle(first, second))[0]).toEqual([0, 1, 2]);
    expect(await own(second)).toMatchObject({ pinsHeldBy: 'first', pinned: 0, share: 9 });
    expect(await own(first)).toMatchObject({ pinsHeldBy: null });
    await silent(first, leaseMs + 1);
    // 0 and 1 wait for the first, 2 is the second's at once.
    expect(await own(second)).toMatchObject({ pinsHeldBy: null, pinned: 2, reserved: 2 });
    expect(nos(await own(second))).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  it('wait three leases for a worker that is away, which gets them back whenever it comes', async () => {
    const [a, pinned] = [await join('a'), await join('p', [0, 1, 2, 3, 4, 5, 6, 7, 8])];
    await settle(a, pinned);
    await silent(pinned, leaseMs * 2);
    expect(await own(a)).toMatchObject({ share: 3, reserved: 9, mine: [{ no: 9 }, { no: 10 }, { no: 11 }] });
    const successor = await join('p again', [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(nos(await own(successor))).toHaveLength(9);
    await database.statements.leave(successor.id);
    await database.db.execute(sql`update partitions set owner = null where owner = ${successor.id}`);
    expect(await own(a)).toMatchObject({ reserved: 9 });
    await silent(pinned, leaseMs * 3 + 1);
    expect(await own(a)).toMatchObject({ share: 12, reserved: 0, mine: all.map((no) => ({ no })) });
    await back(pinned);
    expect(await settle(a, pinned)).toEqual([
      [9, 10, 11],
      [0, 1, 2, 3, 4, 5, 6, 7, 8],
    ]);
  });

  it('of a worker that has left in good order are free at once', async () => {
    const [a, pinned] = [await join('a'), await join('p', [0, 1])];
    await settle(a, pinned);
    await database.statements.retire(pinned.id);
    await own(pinned, [0, 1]);
    expect((await settle(a))[0]).toEqual(all);
  });

  it('stay when a worker that was away for an hour registers again', async () => {
    const pinned = await join('p', [4]);
    await database.db.execute(sql`delete from workers`);
    expect(await own(pinned)).toMatchObject({ mine: [], share: 0 });
    const again = {
      id: pinned.id,
      name: 'p',
      host: 'h',
      pid: 1,
      handlers: ['echo'],
      concurrency: 4,
      facts: idleFacts,
      pins: [4],
    };
    await database.statements.register(again);
    expect(await own(pinned)).toMatchObject({ pinned: 1 });
  });
});

describe('helpers', () => {
  const help = ({ id }: Actor) => database.statements.help({ worker: id, leaseMs });

  it('choose the owner with the fewest helpers, then the most queued chunks, and stay', async () => {
    const owners = [await join('a'), await join('b'), await join('c')];
    const [[, some]] = [await settle(...owners)];
    const batch = { id: randomUUID(), name: null, handler: 'echo', total: 3, params: null, options: '{}' };
    const no = await database.statements.acceptCount(batch, 1);
    await database.statements.mark({ handlers: ['echo'], slots: some!.slice(0, 3), itemsMax: 9 });
    const helpers = [await join('h1'), await join('h2'), await join('h3')];
    // They would be owners by now: there are partitions enough.
    await database.db.execute(sql`update partitions set expires_at = clock_timestamp() + interval '1 hour'`);
    const first = await help(helpers[0]!);
    expect(first.owner).toEqual({ id: owners[1]!.id, name: 'b', partitions: some });
    const chosen = [first, await help(helpers[1]!), await help(helpers[2]!)].map(({ owner }) => owner!.name);
    expect(chosen.sort()).toEqual(['a', 'b', 'c']);
    expect((await help(helpers[0]!)).owner!.name).toBe('b');
    const { windows } = await database.statements.windows({ leaseMs });
    expect(windows.every(({ owner }) => owner!.helpers.length === 1)).toBe(true);
    const rows = await database.statements.partitions({ leaseMs });
    expect(rows[some![0]!]).toMatchObject({ owner: { name: 'b' }, helpers: ['h1'], reserved: false, pinnedTo: null });
    await database.statements.cancel(no);
  });

  it('stay although another owner has more to do by now', async () => {
    const [a, b] = [await join('a'), await join('b')];
    await settle(a, b);
    await database.db.execute(sql`update partitions set expires_at = clock_timestamp() + interval '1 hour'`);
    const h = await join('h');
    const chosen = (await help(h)).owner!;
    const other = (chosen.id === a.id ? await own(b) : await own(a)).mine.map(({ no }) => no);
    const batch = { id: randomUUID(), name: null, handler: 'echo', total: 3, params: null, options: '{}' };
    const no = await database.statements.acceptCount(batch, 1);
    await database.statements.mark({ handlers: ['echo'], slots: other.slice(0, 3), itemsMax: 9 });
    expect((await help(h)).owner).toEqual(chosen);
    await database.statements.cancel(no);
  });

  it('spread when they all came to the same: the youngest moves, so that two never swap', async () => {
    const owners = [await join('a'), await join('b')];
    await settle(...owners);
    const [old, young] = [await join('old'), await join('young')];
    await database.db.execute(sql`update workers set helping = ${owners[0]!.id} where name in ('old', 'young')`);
    for (let round = 0; round < 2; round += 1) {
      expect((await help(old)).owner!.name).toBe('a');
      expect((await help(young)).owner!.name).toBe('b');
    }
  });

  it('help nobody whose handlers they do not know, once they own a partition, or when nobody owns one', async () => {
    const [a, h] = [await join('a', null, ['echo', 'add']), await join('h')];
    expect(await help(h)).toEqual({ owner: null, owners: 0, missing: [] });
    await own(a);
    expect(await help(h)).toEqual({ owner: null, owners: 1, missing: ['add'] });
    const knowing = await join('k', null, ['add', 'more', 'echo']);
    expect((await help(knowing)).owner!.name).toBe('a');
    await own(knowing);
    await database.db.execute(sql`update partitions set owner = ${knowing.id}`);
    expect((await help(knowing)).owner).toBeNull();
    expect(await database.statements.workers({ leaseMs })).toMatchObject([{}, {}, { name: 'k', helping: null }]);
  });

  it('leave an owner that is gone', async () => {
    const [a, h] = [await join('a'), await join('h')];
    await own(a);
    expect((await help(h)).owner!.name).toBe('a');
    await silent(a, leaseMs + 1);
    expect(await help(h)).toMatchObject({ owner: null, owners: 0 });
  });
});

describe('retire', () => {
  it('hands what waits in its queues to others, at once', async () => {
    const a = await join('a');
    await own(a);
    const batch = { id: randomUUID(), name: null, handler: 'echo', total: 4, params: null, options: '{}' };
    await database.statements.acceptCount(batch, 1);
    const slots = [0, 1, 2, 3];
    const marked = await database.statements.mark({ handlers: ['echo'], slots, itemsMax: 9 });
    const claim = randomUUID();
    await database.statements.claim({ nos: [marked[0]!.no], claim, worker: a.id, handlers: ['echo'] });
    await database.statements.retire(a.id);
    const again = await database.statements.mark({ handlers: ['echo'], slots, itemsMax: 9 });
    expect(again.map(({ no, generation }) => [no, generation])).toEqual(marked.slice(1).map(({ no }) => [no, 2]));
  });
});
