import { randomUUID } from 'node:crypto';
import { databaseForTest, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accept, count, mark, rounds, serve } from './turns.ts';
import { acceptBatch, only } from './work.ts';

describe('the fair order', () => {
  it('gives batches by their weight, in items', async () => {
    const database = await databaseForTest();
    const [one, three] = [await accept(database, 100), await accept(database, 100, { weight: 3 })];
    const marked = await rounds(database, 10, 4);
    expect([count(marked, one), count(marked, three)]).toEqual([10, 30]);
  });

  it('starts a newcomer at what is served, before what is marked already, and gives it nothing for the time before', async () => {
    const database = await databaseForTest();
    const big = await accept(database, 200);
    await rounds(database, 5, 10);
    const window = await mark(database, 30);
    const small = await accept(database, 200);
    const next = await mark(database, 10);
    expect(count(next, small)).toBe(10);
    expect(next[0]!.tag).toBeLessThanOrEqual(window[1]!.tag);
    await serve(database, [...window, ...next]);
    // It has caught up on the window, and on nothing else.
    const after = await rounds(database, 10, 10);
    expect(count(after, small) - count(after, big)).toBeGreaterThanOrEqual(-10);
    expect(count(after, small) - count(after, big)).toBeLessThanOrEqual(30);
  });

  it.each([
    ['was paused', async ({ statements }: TestDatabase, no: number) => (await statements.pause(no), () => statements.resume(no))],
    ['was idle', async ({ db }: TestDatabase, no: number) => {
      await db.execute(sql`update chunks set not_before = now() + interval '1 hour' where batch = ${no}`);
      return () => db.execute(sql`update chunks set not_before = null where batch = ${no}`);
    }],
  ])('lets a batch that %s not catch up', async (_, stop) => {
    const database = await databaseForTest();
    const [first, second] = [await accept(database, 300), await accept(database, 300)];
    const goOn = await stop(database, second);
    expect(count(await rounds(database, 10, 10), first)).toBe(100);
    await goOn();
    const marked = await rounds(database, 10, 10);
    expect(Math.abs(count(marked, first) - count(marked, second))).toBeLessThanOrEqual(10);
  }); // prettier-ignore

  it('puts a priority behind by as many items as it says, and starves nobody', async () => {
    const database = await databaseForTest();
    const [urgent, later] = [await accept(database, 100), await accept(database, 20, { priority: 1 })];
    expect(count(await rounds(database, 3, 10), later)).toBe(0);
    await database.db.execute(sql`update batches set pass = pass + 1000000 where no = ${urgent}`);
    const marked = await rounds(database, 3, 10);
    expect(count(marked, later)).toBeGreaterThanOrEqual(14);
    expect(count(marked, urgent)).toBeGreaterThan(0);
  });

  it('has who comes share by weight with what is served, also with what began behind by its priority', async () => {
    const database = await databaseForTest();
    const history = await accept(database, 400, { priority: 9 });
    expect(count(await rounds(database, 3, 10), history)).toBe(30);
    const live = await accept(database, 1000, { weight: 9 });
    expect(count(await rounds(database, 1, 10), live)).toBe(10);
    // What was marked before it came is made up for by then.
    await rounds(database, 15, 10);
    const marked = await rounds(database, 10, 10);
    expect([count(marked, live), count(marked, history)]).toEqual([90, 10]);
  });

  it('goes by owners first, however many batches each has', async () => {
    const database = await databaseForTest();
    await database.db.execute(sql`insert into owners (owner) values ('a'), ('b')`);
    const alone = await accept(database, 100, {}, { owner: 'a' });
    for (let n = 0; n < 9; n += 1) await accept(database, 100, {}, { owner: 'b' });
    const marked = await rounds(database, 10, 10);
    expect(count(marked, alone)).toBe(50);
  });

  it('gives beyond the room to who has less in flight than its share, and to nobody else', async () => {
    const database = await databaseForTest();
    const spare = [0, 1, 2, 3, 4, 5];
    await accept(database, 100);
    await mark(database, 20);
    expect(await mark(database, 0, { spare })).toEqual([]);
    const small = await accept(database, 4);
    expect(count(await mark(database, 0, { spare }), small)).toBe(4);
    expect(await mark(database, 0, { spare })).toEqual([]);
  });

  it('gives a batch no more than it may have in flight, but a chunk at least', async () => {
    const database = await databaseForTest();
    const limited = await accept(database, 100);
    await database.db.execute(sql`update batches set flight_max = 25 where no = ${limited}`);
    const marked = await mark(database, 20);
    expect(marked).toHaveLength(3);
    expect(await mark(database, 20)).toEqual([]);
    await serve(database, marked.slice(0, 1));
    expect(await mark(database, 20)).toHaveLength(1);
    await database.db.execute(sql`update batches set flight_max = 1 where no = ${limited}`);
    expect(await mark(database, 20)).toEqual([]);
  });

  it('serves batches that always have work by their weights, whoever comes and goes beside them', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ chunks: fc.integer({ min: 1, max: 8 }), weight: fc.integer({ min: 1, max: 5 }) }), {
          minLength: 12,
          maxLength: 12,
        }),
        fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })),
        async (comers, [a, b]) => {
          const database = await databaseForTest();
          const steady = [await accept(database, 400, { weight: a }), await accept(database, 400, { weight: b })];
          const served = [0, 0];
          for (const { chunks, weight } of comers) {
            await accept(database, chunks, { weight });
            const marked = await mark(database, 12);
            await serve(database, marked);
            for (const at of [0, 1]) served[at]! += count(marked, steady[at]!);
          }
          // Over any time both are served in proportion, but for a chunk each and what one round takes at once.
          expect(Math.abs(served[0]! / a - served[1]! / b)).toBeLessThanOrEqual(3 + 12 / Math.min(a, b));
        },
      ),
      { numRuns: 5 },
    );
  });

  it('is told by the virtual time, which never goes back', async () => {
    const database = await databaseForTest();
    await accept(database, 50);
    const times: number[] = [];
    for (let round = 0; round < 6; round += 1) {
      await serve(database, await mark(database, 7));
      times.push((await only<{ virtual: number }>(database, sql`select virtual from owners where owner = ''`)).virtual);
      if (round === 2) await accept(database, 30);
    }
    expect(times).toEqual([...times].sort((x, y) => x - y));
    expect(times.at(-1)).toBeGreaterThan(0);
  });

  it('goes past batches that are at their limit, however many there are', async () => {
    const database = await databaseForTest();
    for (let n = 0; n < 20; n += 1) {
      const no = await accept(database, 10);
      await database.db.execute(sql`update batches set flight_max = 10 where no = ${no}`);
    }
    expect(await mark(database, 20)).toHaveLength(20);
    const free = await accept(database, 100);
    expect(count(await rounds(database, 10, 4), free)).toBe(40);
  });

  it('is not held back by what a limit holds back, nor by a last item that takes long', async () => {
    const database = await databaseForTest();
    const limited = await accept(database, 100);
    await database.db.execute(sql`update batches set flight_max = 10 where no = ${limited}`);
    await accept(database, 1);
    // Both have something in flight from now on.
    expect(await mark(database, 2)).toHaveLength(2);
    const steady = await accept(database, 400);
    await rounds(database, 10, 10);
    const newcomer = await accept(database, 400);
    const marked = await rounds(database, 10, 10);
    expect(Math.abs(count(marked, steady) - count(marked, newcomer))).toBeLessThanOrEqual(10);
  });

  it('counts what was run, however often the rest of a chunk comes back', async () => {
    const database = await databaseForTest();
    await database.statements.limitHandler({ handler: 'echo', rate: null, perMs: null, concurrency: 100 });
    const { no } = await acceptBatch(database, { total: 100, size: 100 });
    const passesOf = async () =>
      (await database.db.execute(sql`select pass, handler_pass from batches where no = ${no}`))[0]!;
    for (let done = 0; done < 50; done += 10) {
      const claim = randomUUID();
      const nos = (await mark(database, 1)).map(({ no }) => no);
      const [held] = await database.statements.claim({ nos, claim, worker: randomUUID(), handlers: ['echo'] });
      const rest = { first: done + 10, size: 90 - done, picks: null, attempt: 1, delayMs: 0 };
      const outcome = { succeeded: 10, outputs: '', indexes: null, failures: [], rests: [rest] };
      await database.statements.flush([{ no: held!.no, claim, first: done, ...outcome }]);
      expect(await passesOf()).toEqual({ pass: done + 10, handler_pass: done + 10 });
    }
  });

  it('leaves alone a batch that waits for longer until it may start', async () => {
    const database = await databaseForTest();
    const options = { rateLimit: { limit: 1, perMs: 1000, cost: 1 } };
    const told = await accept(database, 10, options);
    await database.statements.pauseLimits({ batch: told, ms: 60_000 });
    expect(await mark(database, 4)).toEqual([]);
    await database.db.execute(sql`update limits set paused_until = null`);
    expect(count(await mark(database, 4), told)).toBeGreaterThan(0);
  });

  it('gives one batch all places beside many that have nothing to run', async () => {
    const database = await databaseForTest();
    for (let n = 0; n < 30; n += 1) await accept(database, 1);
    await database.db.execute(sql`update chunks set not_before = now() + interval '1 hour'`);
    const alone = await accept(database, 100);
    expect((await database.statements.windows({ leaseMs: 5000 })).newcomers).toBe(true);
    expect(count(await mark(database, 40), alone)).toBe(40);
    expect((await database.statements.windows({ leaseMs: 5000 })).newcomers).toBe(false);
  });
});
