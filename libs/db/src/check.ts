import { postgresPlace, Refusal, type ServerCheck, tlsOnlyProblem, tlsProblem } from '@bullpen/runtime';
import { sql } from 'drizzle-orm';
import { openDatabase } from './database.ts';
import { codeOf, verdictOf } from './retry.ts';

/**
 * Looks at a PostgreSQL server before anything relies on it. Answers each problem as one line with the remedy, and
 * whether it is only that the server is away.
 *
 * `connections`: what all pools of this start can open together. Ten are left to people and to other programs.
 */
export async function checkDatabase(url: string, connections: number): Promise<ServerCheck> {
  try {
    const { mode } = postgresPlace(url);
    const found = await look(url, connections);
    return mode === 'no-verify' ? { ...found, warnings: [unverified] } : found;
  } catch (error) {
    if (error instanceof Refusal) return { problems: [error.message], away: false };
    throw error;
  }
}

const unverified =
  'sslmode=no-verify in DATABASE_URL: whoever is in between can read and change everything; use verify-full';

async function look(url: string, connections: number): Promise<{ problems: string[]; away: boolean }> {
  const { db, close } = openDatabase({ url, max: 1, name: 'bullpen check', durable: true });
  const { host, pathname, username } = new URL(url);
  try {
    const rows = await db.execute<{ version: number; max: number; may: boolean }>(sql`
      select current_setting('server_version_num')::int as version, current_setting('max_connections')::int as max,
        has_database_privilege(current_database(), 'create') as may`);
    const [{ version, max, may }] = rows as unknown as [{ version: number; max: number; may: boolean }];
    const problems: string[] = [];
    if (version < 150_000)
      problems.push(
        `PostgreSQL ${Math.floor(version / 10_000)} at ${host} is too old: Bullpen needs 15 or newer (unset DATABASE_URL for an embedded one)`,
      );
    if (connections > max - 10) {
      problems.push(
        `the pools can open ${connections} connections, and PostgreSQL at ${host} allows ${max} (10 are left to others): ` +
          `lower DATABASE_POOL_MAX or WORKERS, or run: ALTER SYSTEM SET max_connections = ${Math.ceil((connections + 10) / 50) * 50}; and restart it`,
      );
    }
    if (!may)
      problems.push(
        `${username} may not create a schema in ${pathname.slice(1)}: run: GRANT CREATE ON DATABASE "${pathname.slice(1)}" TO "${username}";`,
      );
    return { problems, away: false };
  } catch (error) {
    const problem = protection(error, host);
    if (problem !== null) return { problems: [problem], away: false };
    const place = { host, database: pathname.slice(1), user: username };
    return { problems: [unreachable(codeOf(error), place)], away: verdictOf(error) === 'reconnect' };
  } finally {
    await close();
  }
}

/** How PostgreSQL, and some of the poolers and providers before one, say that they take TLS only. */
const tlsOnlyWords = /no encryption|SSL off|(SSL|TLS)[^]*required|connection is insecure/i;

/** What is wrong with TLS, or with its absence; null: that is not it. */
function protection(error: unknown, host: string): string | null {
  const cause = (error as { cause?: unknown }).cause ?? error;
  const server = { name: 'PostgreSQL', host, setting: 'DATABASE_URL' } as const;
  const isTlsOnly = /^(28000|08\w\w\w)$/.test(codeOf(error)) && tlsOnlyWords.test((cause as Error).message);
  return isTlsOnly ? tlsOnlyProblem(server) : tlsProblem(cause, server);
}

function unreachable(code: string, { host, database, user }: { host: string; database: string; user: string }): string {
  if (code === '28P01' || code === '28000')
    return `PostgreSQL at ${host} refuses the user "${user}": check the user and password in DATABASE_URL (${code})`;
  if (code === '3D000')
    return `PostgreSQL at ${host} has no database "${database}": run: createdb -h ${host.split(':')[0]} ${database}`;
  if (code === '53300') return `PostgreSQL at ${host} has no connection left: close some, or raise max_connections`;
  return `PostgreSQL at ${host} cannot be reached (${code || 'no answer'}): start it, check DATABASE_URL, or unset it for an embedded one`;
}
