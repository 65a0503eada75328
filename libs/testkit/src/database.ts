import { randomBytes } from 'node:crypto';
import {
  createStatements,
  install,
  migrate,
  openDatabase,
  type Installation,
  type OpenDatabase,
  type Statements,
} from '@bullpen/db';
import { sql } from 'drizzle-orm';
import { inject, onTestFinished } from 'vitest';

export interface TestDatabase extends OpenDatabase {
  url: string;
  installation: Installation;
  statements: Statements;
  drop(): Promise<void>;
}

/** A migrated database of its own on the run's server. */
export async function createDatabase(options: { partitions?: number; serverUrl?: string } = {}): Promise<TestDatabase> {
  const server = options.serverUrl ?? inject('databaseUrl');
  const name = `test_${randomBytes(6).toString('hex')}`;
  await onServer(server, `create database ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  await migrate(url.href);
  const opened = openDatabase({ url: url.href, max: 8, name: 'test', durable: true });
  const installation = await install(opened.db, options.partitions ?? null);
  const statements = createStatements(opened.db, { reconnectMs: 20_000 });
  const drop = async (): Promise<void> => {
    await opened.close();
    await onServer(server, `drop database ${name} with (force)`);
  };
  return { ...opened, url: url.href, installation, statements, drop };
}

/** The same, dropped when the test that asked for it ends. */
export async function databaseForTest(options: { partitions?: number } = {}): Promise<TestDatabase> {
  const database = await createDatabase(options);
  onTestFinished(() => database.drop());
  return database;
}

async function onServer(url: string, statement: string): Promise<void> {
  const { db, close } = openDatabase({ url, max: 1, name: 'testkit', durable: true });
  try {
    await db.execute(sql.raw(statement));
  } finally {
    await close();
  }
}
