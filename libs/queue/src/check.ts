import { noTlsCode, type ServerCheck, tlsOnlyProblem, tlsProblem } from '@bullpen/runtime';
import { createRedis, withDeadline } from './connection.ts';
import { makeTables } from './postgres-connection.ts';
import { speaksPlain, speaksTls } from './speaks.ts';
import type { QueueBackend } from './backend.ts';

/** Brings the server to where the queues can be opened: BullMQ's tables are made or upgraded; Redis needs nothing. */
export const prepareQueues = async ({ kind, url }: QueueBackend): Promise<void> =>
  kind === 'postgres' ? makeTables(url) : undefined;

/** Looks at the server of the queues. PostgreSQL is looked at as the database that it is, by libs/db. */
export const checkQueues = async ({ kind, url }: QueueBackend): Promise<ServerCheck> =>
  kind === 'redis' ? checkRedis(url) : { problems: [], away: false };

/** Looks at a Redis or Valkey server before anything relies on it. Answers each problem as one line with the remedy, and whether it is only that the server is away. */
async function checkRedis(url: string): Promise<ServerCheck> {
  const { host, username } = new URL(url);
  const redis = createRedis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: 5000,
    maxRetriesPerRequest: 0,
  });
  let heard: unknown;
  redis.on('error', (error) => (heard ??= error));
  try {
    await withDeadline(6000, 'connect', redis.connect());
    const problems: string[] = [];
    const info = await withDeadline(5000, 'info', redis.info());
    const version = /redis_version:(\d+)\.(\d+)/.exec(info);
    const [, major = '0', minor = '0'] = version ?? [];
    if (Number(major) * 100 + Number(minor) < 602)
      problems.push(`Redis ${major}.${minor} at ${host} is too old: Bullpen needs 6.2 or newer, or Valkey`);
    if (/redis_mode:cluster/.test(info))
      problems.push(
        `Redis at ${host} is a node of a Redis Cluster, which Bullpen cannot use: give REDIS_URL a server of its own, or turn cluster mode off there`,
      );
    const policy = /maxmemory_policy:(\S+)/.exec(info)?.[1];
    if (policy !== undefined && policy !== 'noeviction') {
      problems.push(
        `Redis at ${host} evicts keys (maxmemory-policy ${policy}), and would lose jobs: run: redis-cli -u ${redacted(url)} CONFIG SET maxmemory-policy noeviction`,
      );
    }
    return { problems, away: false };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (/NOAUTH|WRONGPASS|invalid password/i.test(message))
      return {
        problems: [`Redis at ${host} refuses ${username || 'the password'}: check the password in REDIS_URL`],
        away: false,
      };
    const problem = await protection(url, heard ?? error);
    if (problem !== null) return { problems: [problem], away: false };
    const code = ((heard ?? error) as NodeJS.ErrnoException).code ?? 'no answer';
    return {
      problems: [
        `Redis at ${host} cannot be reached (${code}): start it, check REDIS_URL, or unset it for an embedded one`,
      ],
      away: true,
    };
  } finally {
    redis.disconnect();
  }
}

/**
 * What is wrong with TLS, or with its absence; null: that is not it. A server that was asked for the other one than it speaks says
 * nothing that could be told from noise, so it is asked for that.
 */
async function protection(url: string, error: unknown): Promise<string | null> {
  const { host, protocol } = new URL(url);
  const server = { name: 'Redis', host, setting: 'REDIS_URL' } as const;
  if (protocol === 'redis:') return (await speaksTls(url)) ? tlsOnlyProblem(server) : null;
  const isPlain = await speaksPlain(url);
  return tlsProblem(isPlain ? { code: noTlsCode } : error, server);
}

function redacted(url: string): string {
  const parsed = new URL(url);
  if (parsed.password) parsed.password = '***';
  return parsed.href;
}
