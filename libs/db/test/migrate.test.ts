import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { randomBytes } from 'node:crypto';
import { createStatements, install, migrate, openDatabase } from '@bullpen/db';
import { sql } from 'drizzle-orm';
import { migrate as runMigrations } from 'drizzle-orm/postgres-js/migrator';
import { expect, inject, it, onTestFinished, vi } from 'vitest';

const folder = fileURLToPath(new URL('../migrations', import.meta.url));

/** The migrations up to the given one, as a version before had them. */
async function migrationsUpTo(tag: string): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'bullpen-migrations-'));
  onTestFinished(() => rm(copy, { recursive: true }));
  await cp(folder, copy, { recursive: true });
  const file = join(copy, 'meta', '_journal.json');
  const journal = JSON.parse(await readFile(file, 'utf8')) as { entries: { tag: string }[] };
  const last = journal.entries.findIndex((entry) => entry.tag === tag);
  await writeFile(file, JSON.stringify({ ...journal, entries: journal.entries.slice(0, last + 1) }));
  return copy;
}

/** A database of the given version, and what opens it. */
async function databaseAt(tag: string) {
  const name = `test_${randomBytes(6).toString('hex')}`;
  const server = openDatabase({ url: inject('databaseUrl'), max: 1, name: 'test', durable: true });
  await server.db.execute(sql.raw(`create database ${name}`));
  const url = new URL(inject('databaseUrl'));
  url.pathname = `/${name}`;
  const database = openDatabase({ url: url.href, max: 4, name: 'test', durable: true });
  onTestFinished(async () => {
    await database.close();
    await server.db.execute(sql.raw(`drop database ${name} with (force)`));
    await server.close();
  });
  const migrationsFolder = await migrationsUpTo(tag);
  await runMigrations(database.db, { migrationsFolder, migrationsSchema: 'bullpen', migrationsTable: 'migrations' });
  return { ...database, url: url.href };
}

it('a database of the version before keeps its rows, and what runs goes on', async () => {
  const { db, url } = await databaseAt('0002_streams');
  await install(db, 4);
  // Two tables of results, as after a thousand batches, and one of inputs.
  await db.execute(sql`select extend_results()`);
  const id = '0198c3a4-7a1e-7000-8000-000000000001';
  for (const no of [7, 1500]) {
    await db.execute(sql`insert into batches (no, id, handler, state, total, succeeded, options, finished_at)
      values (${no}, ${id.replace(/.{4}$/, String(no).padStart(4, '0'))}, 'echo', 'completed', 3, 2, '{}', now())`);
    await db.execute(sql`insert into inputs select ${no}::int, n, '[1]' from generate_series(0, 2) n`);
    await db.execute(
      sql`insert into results (batch, index, finished_at, status, attempt, output) select ${no}::int, n, now(), 1, 1, '1' from generate_series(0, 1) n`,
    );
  }
  await db.execute(
    sql`insert into batches (no, id, handler, state, total, options) values (8, ${id}, 'echo', 'running', 1, '{}')`,
  );
  await db.execute(sql`insert into inputs values (8, 0, '["old"]')`);
  await db.execute(sql`insert into chunks (batch, first, size, src) values (8, 0, 1, 0)`);
  await db.execute(sql`select setval('batches_no', 1500)`);

  await migrate(url);
  const statements = createStatements(db, { reconnectMs: 5000 });
  for (const batch of [7, 1500]) {
    expect(await statements.results({ batch, after: -1, limit: 9, status: 'all', maxBytes: 1e6 })).toHaveLength(2);
    expect(await statements.inputs({ batch, index: 2 })).toEqual({ first: 2, indexes: null, items: '[1]' });
  }
  const [marked] = await statements.mark({ handlers: ['echo'], slots: [0], itemsMax: 9 });
  expect(marked).toMatchObject({ generation: 1 });
  const claim = '0198c3a4-7a1e-7000-8000-00000000000a';
  const held = await statements.claim({ nos: [marked!.no], claim, worker: claim, handlers: ['echo'] });
  expect(held[0]!.inputs).toEqual([{ first: 0, items: '["old"]' }]);

  // The version before goes on beside it; and its one range goes as a whole, with all three tables.
  await db.execute(sql`select extend_results()`);
  await db.execute(sql`select setval('batches_no', 2000)`);
  await db.execute(sql`delete from batches`);
  expect(await statements.freeRanges()).toEqual([]);
  expect(await statements.freeRanges()).toEqual([{ first: 0, emptied: false }]);
  expect([await statements.freeRange(0), await statements.freeRange(0)]).toEqual(['emptied', 'dropped']);
  const left = (await db.execute(
    sql`select inhrelid::regclass::text as name from pg_inherits where inhparent in ('results'::regclass, 'inputs'::regclass) order by 1`,
  )) as unknown as { name: string }[];
  expect(left.map(({ name }) => name)).toEqual(['inputs_6000', 'results_6000']);
  const fresh = { id, name: null, handler: 'echo', total: 1, params: null, options: '{}' };
  expect(await statements.acceptInputs(fresh, [{ first: 0, size: 1, items: '[1]' }])).toBe(2001);
});

it('the lock of another migration is waited for, however long that takes', async () => {
  const { db, url } = await databaseAt('0002_streams');
  const holder = openDatabase({ url, max: 1, name: 'holder', durable: true });
  onTestFinished(() => holder.close());
  await holder.db.execute(sql`select pg_advisory_lock(6277041)`);
  // Only the clock by which a silence is measured.
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const over = migrate(url).then(() => null, (error: unknown) => error); // prettier-ignore
  const waits = sql`select from pg_stat_activity where application_name = 'bullpen migrate'
    and datname = current_database() and wait_event = 'advisory'`;
  for (let tries = 0; (await db.execute(waits)).length === 0; tries += 1) {
    expect(tries).toBeLessThan(200);
    await sleep(25);
  }
  await vi.advanceTimersByTimeAsync(60_000);
  await sleep(100);
  expect(await db.execute(waits)).toHaveLength(1);
  await holder.db.execute(sql`select pg_advisory_unlock(6277041)`);
  expect(await over).toBeNull();
});
