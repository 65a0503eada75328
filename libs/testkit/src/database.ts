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
  /** Whether the server refuses connections to it from now on; those that are open are ended. */
  refuse(refusing: boolean): Promise<void>;
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
  const opened = openDatabase({ url: url.href, max: 8, name: 'test', durable: true, keepsPlans: true });
  const installation = await install(opened.db, options.partitions ?? null);
  const statements = createStatements(opened.db, { reconnectMs: 20_000 });
  const refuse = async (refusing: boolean): Promise<void> => {
    await onServer(server, `alter database ${name} allow_connections ${!refusing}`);
    if (refusing)
      await onServer(server, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`);
  };
  const drop = async (): Promise<void> => {
    await opened.close();
    await onServer(server, `drop database ${name} with (force)`);
  };
  return { ...opened, url: url.href, installation, statements, refuse, drop };
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
