import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

/**
 * Pause: nobody starts an item of this batch for so long, or of its handler, where that has a limit of its own.
 *
 * Repeatable: it sets a time that only moves forward.
 *
 * Where nothing limits the rate a row comes that says nothing else. One for a batch that is gone by now is not made.
 */
export function preparePauseLimits(db: Database) {
  const no = sql`${sql.placeholder('batch')}::int`;
  const until = sql`clock_timestamp() + make_interval(secs => ${sql.placeholder('ms')}::float8 / 1000)`;
  const name = db.$with('name', {}).as(sql`
    select coalesce((select l.name from limits l where l.name = 'handler:' || b.handler and l.rate is not null), 'batch:' || b.no) as name
    from batches b where b.no = ${no} and b.state in ('running', 'paused')`);
  const paused = db.$with('paused', { name: sql<string>`name`.as('name') }).as(sql`
    insert into limits (name, paused_until) select name, ${until} from name
    on conflict (name) do update set paused_until = greatest(limits.paused_until, excluded.paused_until) returning name`);
  const query = db.with(name, paused).select({ name: paused.name }).from(paused).prepare('pause_limits');
  return async (request: { batch: number; ms: number }): Promise<void> => void (await query.execute(request));
}
