import { fileURLToPath } from 'node:url';
import { sql } from 'drizzle-orm';
import { migrate as runMigrations } from 'drizzle-orm/postgres-js/migrator';
import { defaultSchema, openDatabase } from './database.ts';

const folder = fileURLToPath(new URL('../migrations', import.meta.url));
/** Any number; the same for all versions, so that two of them never migrate at once. */
const lock = 6_277_041;

/**
 * Brings the database up to this version. Whoever comes first does it under a lock; the others wait and find it done.
 * The lock is of the session and dies with it, so a migration that was killed is tried again by the next start.
 */
export async function migrate(url: string, schema = defaultSchema): Promise<void> {
  const { db, close } = openDatabase({ url, max: 1, name: 'bullpen migrate', durable: true, schema });
  try {
    await db.execute(sql`set statement_timeout = 0`);
    await db.execute(sql`select pg_advisory_lock(${sql.raw(String(lock))})`);
    await runMigrations(db, { migrationsFolder: folder, migrationsSchema: schema, migrationsTable: 'migrations' });
  } finally {
    await close();
  }
}
