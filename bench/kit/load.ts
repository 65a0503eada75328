import { setTimeout as sleep } from 'node:timers/promises';
import type { Figures } from './scenario.ts';
import type { Servers } from './servers.ts';

const sampleMs = 20;
/** A session tells what it has committed at most once a second. */
const toldMs = 1500;

/**
 * What a database does while something runs: statements, which are commits here, since each is a transaction of its own;
 * and waits for a lock, of which those shorter than a sample mostly go unseen. Asked from another database, so that the
 * asking counts for nothing.
 */
export async function watchLoad(servers: Servers, databaseUrl: string) {
  const name = new URL(databaseUrl).pathname.slice(1);
  const sql = servers.connect(servers.databaseUrl, { max: 1 });
  const commits = async (): Promise<number> => {
    const [row] = await sql<
      { commits: number }[]
    >`select xact_commit::float8 as commits from pg_stat_database where datname = ${name}`;
    return row!.commits;
  };
  await sleep(toldMs);
  const before = await commits();
  const waits = new Set<string>();
  const started = performance.now();
  let isOver = false;
  const sampling = (async () => {
    while (!isOver) {
      const rows = await sql<{ wait: string }[]>`
        select pid || ' ' || query_start as wait from pg_stat_activity where datname = ${name} and wait_event_type = 'Lock'`;
      for (const { wait } of rows) waits.add(wait);
      await sleep(sampleMs);
    }
  })();
  return {
    /** When the run is over; `dismiss` ends the processes, which makes their sessions tell the rest. */
    async stop(items: number, dismiss: () => Promise<unknown>): Promise<Figures> {
      const seconds = (performance.now() - started) / 1000;
      isOver = true;
      await sampling;
      await dismiss();
      const statements = (await commits()) - before;
      await sql.end();
      return { 'statements/10k': (statements / items) * 10_000, 'lock waits/s': waits.size / seconds };
    },
  };
}
