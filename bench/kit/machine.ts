import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { settingTable } from '@bullpen/runtime';
import type { Servers } from './servers.ts';

/** What the figures were measured on. Names neither the host nor a user. */
export async function describeMachine(servers: Servers): Promise<Record<string, string>> {
  const sql = servers.connect(servers.databaseUrl, { max: 1 });
  const [server] = await sql<{ version: string }[]>`select current_setting('server_version') as version`;
  const settings = await sql<{ name: string; setting: string; unit: string | null }[]>`
    select name, setting, unit from pg_settings where name in ('shared_buffers', 'max_wal_size', 'fsync', 'full_page_writes', 'data_checksums') order by name`;
  await sql.end();
  return {
    cpu: `${cpus()[0]?.model ?? 'unknown'} × ${availableParallelism()}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    'load before': `${loadavg()[0]!.toFixed(2)} (average of a minute; other work makes all figures smaller, and not all alike)`,
    system: `${type()} ${release()}`,
    node: process.versions.node,
    postgresql: server!.version,
    'postgresql settings': settings
      .map(({ name, setting, unit }) => `${name} ${setting}${unit ? ` × ${unit}` : ''}`)
      .join(', '),
    'bullpen settings': settingsOf(process.env) || 'defaults',
    bullmq: versionOf('../../libs/queue/node_modules/bullmq/package.json'),
    drizzle: versionOf('../../libs/db/node_modules/drizzle-orm/package.json'),
  };
}

/** Those that are not left at their defaults. Where the servers are is nobody's business. */
const settingsOf = (env: NodeJS.ProcessEnv): string =>
  Object.keys(settingTable)
    .filter((name) => env[name] && !name.endsWith('_URL'))
    .map((name) => `${name}=${env[name]}`)
    .join(', ');

const versionOf = (path: string): string =>
  (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version;
