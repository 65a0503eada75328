import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sql } from 'drizzle-orm';
import { migrate as runMigrations } from 'drizzle-orm/postgres-js/migrator';
import { type Database, defaultSchema, openDatabase } from './database.ts';

const folder = fileURLToPath(new URL('../migrations', import.meta.url));
/** Any number; the same for all versions, so that two of them never migrate at once. */
const lock = 6_277_041;

/**
 * Brings the database up to this version. Whoever comes first does it under a lock; the others wait and find it done.
 * The lock is of the session and dies with it, so a migration that was killed is tried again by the next start.
 */
export async function migrate(url: string, schema = defaultSchema): Promise<void> {
  // To wait for the lock, or to make an index, may take any time.
  const { db, close } = openDatabase({
    url,
    max: 1,
    name: 'bullpen migrate',
    durable: true,
    schema,
    silentMs: Infinity,
  });
  try {
    await db.execute(sql`set statement_timeout = 0`);
    await db.execute(sql`select pg_advisory_lock(${sql.raw(String(lock))})`);
    await runMigrations(db, { migrationsFolder: folder, migrationsSchema: schema, migrationsTable: 'migrations' });
  } finally {
    await close();
  }
}

/** Migrations of this version that the database does not have; and whether it has some that this version does not know. */
export interface MigrationState {
  missing: string[];
  newer: boolean;
}

/** Compares by time, as the migrator does. A read; a database without the table has none of them. */
export async function migrationState(db: Database): Promise<MigrationState> {
  const journal = JSON.parse(await readFile(join(folder, 'meta', '_journal.json'), 'utf8')) as {
    entries: { when: number; tag: string }[];
  };
  const [{ exists }] = (await db.execute(sql`select to_regclass('migrations') is not null as exists`)) as unknown as [
    { exists: boolean },
  ];
  let applied = -Infinity;
  if (exists) {
    const [row] = (await db.execute(sql`select max(created_at)::float8 as applied from migrations`)) as unknown as [
      { applied: number | null },
    ];
    applied = row.applied ?? -Infinity;
  }
  const missing = journal.entries.filter(({ when }) => when > applied).map(({ tag }) => tag);
  return { missing, newer: applied > Math.max(...journal.entries.map(({ when }) => when)) };
}
