import { sql } from 'drizzle-orm';
import type { Database } from './database.ts';

/** Where a process has its queues. */
type QueueKind = 'redis' | 'postgres';

/** What a process calls itself in pg_stat_activity: what it is, where it has its queues, and a name of its own. */
export const processName = (app: 'producer' | 'worker', queue: QueueKind, name = ''): string =>
  `bullpen ${app} (${queue}) ${name}`.trimEnd();

const kindName: Record<QueueKind, string> = { redis: 'Redis', postgres: 'PostgreSQL' };

/**
 * Looks for processes of this database that have their queues elsewhere: what one side adds the other would wait for
 * for ever. Their connections tell: each has one open at any time, with its name on it. So there is nothing to store,
 * and to change the place is to stop all and start them anew.
 *
 * `db` must bear this process's name already: of two that start at once, the later one then sees the other.
 */
export async function checkSameQueue(db: Database, mine: QueueKind): Promise<{ problems: string[]; away: boolean }> {
  const rows = (await db.execute(sql`
    select distinct application_name as name, coalesce(host(client_addr), 'this machine') as host from pg_stat_activity
    where datname = current_database() and application_name ~ '^bullpen (producer|worker) [(](redis|postgres)[)]'
    order by 1, 2`)) as unknown as { name: string; host: string }[];
  const problems = rows.flatMap(({ name, host }) => {
    const [, app, queue] = /^bullpen (\w+) \((redis|postgres)\)/.exec(name) as unknown as [string, string, QueueKind];
    if (queue === mine) return [];
    return [
      `A ${app} on ${host} has the queues of this database in ${kindName[queue]}, this process would have them in ${kindName[mine]}: ` +
        'give all processes the same QUEUE_BACKEND and REDIS_URL, or stop the other ones first',
    ];
  });
  return { problems: [...new Set(problems)], away: problems.length > 0 };
}
