import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';

export interface ServerFacts {
  version: string;
  /** A replica: it takes no writes. */
  replica: boolean;
  /** How far its clock is ahead of this machine's; half a round trip is the error. */
  clockAheadMs: number;
  /** What a session has, by name, as PostgreSQL writes it (`256MB`); null where it is not known there. */
  settings: Record<string, string | null>;
  connections: { max: number; used: number; byName: { name: string; count: number }[] };
}

/**
 * The server as one of our sessions sees it. A read.
 *
 * The settings are the session's, so that a pooler between us and the server that drops what we ask for shows too.
 */
export async function inspectServer(db: Database, names: readonly string[]): Promise<ServerFacts> {
  const wanted = sql.join(
    names.map((name) => sql`${name}`),
    sql`, `,
  );
  const sentAt = Date.now();
  const [clock] = (await db.execute(
    sql`select extract(epoch from clock_timestamp())::float8 * 1000 as ms`,
  )) as unknown as [{ ms: number }];
  const clockAheadMs = clock.ms - (sentAt + Date.now()) / 2;
  const [row] = (await db.execute(sql`
    select current_setting('server_version') as version, pg_is_in_recovery() as replica,
      (select json_object_agg(name, current_setting(name, true)) from unnest(array[${wanted}]::text[]) name) as settings,
      current_setting('max_connections')::int as max,
      (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used,
      (select coalesce(json_agg(x), '[]') from (
        select application_name as name, count(*)::int as count from pg_stat_activity
        where backend_type = 'client backend' and datname = current_database() group by 1 order by 2 desc, 1) x) as names`)) as unknown as [
    { version: string; replica: boolean; settings: Record<string, string | null>; max: number; used: number; names: ServerFacts['connections']['byName'] },
  ]; // prettier-ignore
  const { version, replica, settings, max, used, names: byName } = row;
  return { version, replica, clockAheadMs, settings, connections: { max, used, byName } };
}
