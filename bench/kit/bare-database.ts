import { createStatements, install, migrate, openDatabase, type Statements } from '@bullpen/db';
import type { Sql } from 'postgres';
import type { Bench } from './scenario.ts';

export interface BareDatabase {
  url: string;
  /** As a producer runs them. */
  statements: Statements;
  /** As a worker runs them, over as many connections as were asked for. */
  ofWorker: Statements;
  /** The benchmark's own, with our tables in its search path. */
  sql: Sql;
}

/** Measures on a migrated database that no process uses, which is gone afterwards. */
export async function onBareDatabase<Answer>(
  { servers }: Bench,
  connections: number,
  measure: (database: BareDatabase) => Promise<Answer>,
): Promise<Answer> {
  const { url, drop } = await servers.createDatabase();
  await migrate(url);
  const producer = openDatabase({ url, max: 1, name: 'bench producer', durable: true, keepsPlans: true });
  const worker = openDatabase({ url, max: connections, name: 'bench worker', durable: false, keepsPlans: true });
  const sql = servers.connect(url, { connection: { search_path: 'bullpen' } });
  try {
    await install(producer.db, null);
    const [statements, ofWorker] = [producer, worker].map(({ db }) => createStatements(db, { reconnectMs: 1000 }));
    return await measure({ url, statements: statements!, ofWorker: ofWorker!, sql });
  } finally {
    await Promise.all([producer.close(), worker.close(), sql.end()]);
    await drop();
  }
}
