import { openRedis, withDeadline } from './connection.ts';

export interface RedisFacts {
  /** `redis` or `valkey`, and its version. */
  product: string;
  version: string;
  /** By name; null where the server does not let us look (managed ones refuse CONFIG). */
  settings: Record<string, string | null>;
  usedBytes: number;
  /** 0: no limit but the machine's memory. */
  maxBytes: number;
  machineBytes: number;
  clients: number;
  /** Null where the server does not say. */
  clientsMax: number | null;
  /** A replica: it takes no writes. */
  replica: boolean;
  /** What it last wrote to disk failed: it refuses writes (MISCONF). */
  savesFail: boolean;
}

/** What a Redis or Valkey server says of itself. Throws when it does not answer within 5 s. */
export async function inspectRedis(url: string, names: readonly string[]): Promise<RedisFacts> {
  const redis = openRedis(url, 'consumer');
  try {
    const info = parseInfo(await withDeadline(5000, 'info', redis.info()));
    const configured = await Promise.all(
      names.map(async (name): Promise<[string, string | null]> => {
        const pair = await withDeadline(5000, 'config', redis.config('GET', name)).catch(() => []);
        return [name, (pair as string[])[1] ?? null];
      }),
    );
    const number = (name: string): number => Number(info.get(name) ?? 0);
    const settings = Object.fromEntries(configured);
    // INFO tells the policy where CONFIG is refused.
    if (settings['maxmemory-policy'] === null) settings['maxmemory-policy'] = info.get('maxmemory_policy') ?? null;
    return {
      product: info.has('valkey_version') ? 'Valkey' : 'Redis',
      version: info.get('valkey_version') ?? info.get('redis_version') ?? 'unknown',
      settings,
      usedBytes: number('used_memory'),
      maxBytes: number('maxmemory'),
      machineBytes: number('total_system_memory'),
      clients: number('connected_clients'),
      clientsMax: info.has('maxclients') ? number('maxclients') : null,
      replica: info.get('role') === 'slave',
      savesFail: [info.get('rdb_last_bgsave_status'), info.get('aof_last_write_status')].includes('err'),
    };
  } finally {
    redis.disconnect();
  }
}

/** `name:value` a line, headings begin with #. */
const parseInfo = (text: string): Map<string, string> =>
  new Map(
    text
      .split('\r\n')
      .filter((line) => line.includes(':') && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
