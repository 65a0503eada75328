import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Statements } from '@bullpen/db';
import { inspectRedis } from '@bullpen/queue';
import { errorFacts, type Log, type Settings } from '@bullpen/runtime';
import { HttpProblem } from '../http/problem.ts';

/** How often it is looked at what there is room for. */
const lookMs = 2000;
const mebi = 1024 * 1024;

export interface AdmissionDeps {
  statements: Pick<Statements, 'backlog'>;
  settings: Pick<Settings, 'backlogMaxItems' | 'redisMemoryMaxPercent' | 'diskFreeMinMb' | 'dataDir'>;
  /** Null: the queues are in PostgreSQL. */
  redisUrl: string | null;
  databaseUrl: string;
  log: Log;
}

export type Admission = ReturnType<typeof createAdmission>;

/**
 * Whether more is taken: refuses while there is no room for it, before a row of it is stored. What is looked at is some seconds old, and what
 * was taken since is counted here, of this producer; so several of them may go beyond the bound by what each takes in that time.
 */
export function createAdmission({ statements, settings, redisUrl, databaseUrl, log }: AdmissionDeps) {
  const folder = join(settings.dataDir, 'postgres');
  // Its files are where embedded ones are.
  const isEmbedded = /^(localhost|127\.0\.0\.1|\[::1\]|)$/.test(new URL(databaseUrl).hostname) && existsSync(folder);
  let backlog = 0;
  let taken = 0;
  let full: string | null = null;

  async function redisFull(): Promise<string | null> {
    if (redisUrl === null) return null;
    const { usedBytes, maxBytes, machineBytes } = await inspectRedis(redisUrl, []);
    const percent = (100 * usedBytes) / (maxBytes || machineBytes || Infinity);
    if (percent < settings.redisMemoryMaxPercent) return null;
    return `Redis has filled ${Math.floor(percent)} % of its memory (REDIS_MEMORY_MAX_PERCENT is ${settings.redisMemoryMaxPercent})`;
  }

  async function diskFull(): Promise<string | null> {
    if (!isEmbedded) return null;
    const { bavail, bsize } = await statfs(folder);
    const freeMb = Math.floor((bavail * bsize) / mebi);
    if (freeMb >= settings.diskFreeMinMb) return null;
    return `The disk has ${freeMb} MiB left (DISK_FREE_MIN_MB is ${settings.diskFreeMinMb})`;
  }

  /** What cannot be asked is not full: else one that was, and is away since, would keep all out until it is back. */
  async function unlessBlind(ask: () => Promise<string | null>): Promise<string | null> {
    try {
      return await ask();
    } catch (error) {
      warnBlind(error);
      return null;
    }
  }

  const warnBlind = (error: unknown): void =>
    log.warn(errorFacts(error), 'how much room there is could not be found out');

  async function look(): Promise<void> {
    const before = taken;
    backlog = await statements.backlog();
    taken -= before;
    const found =
      (await Promise.all([unlessBlind(redisFull), unlessBlind(diskFull)])).find((each) => each !== null) ?? null;
    if (found !== null && found !== full) log.warn({ reason: found }, 'nothing more is accepted');
    full = found;
  }

  return {
    /** For a loop: looks, and answers when to look again. What cannot be looked at keeps nobody out: who asks is told by what fails then. */
    async once(): Promise<number> {
      await look().catch(warnBlind);
      return lookMs;
    },

    /** So many items more. Throws what the client is told. */
    admit(items: number): void {
      if (full !== null)
        throw new HttpProblem('no-room', `${full}: nothing more is accepted until there is room`, {
          headers: { 'Retry-After': '10' },
        });
      const open = backlog + taken;
      const most = settings.backlogMaxItems;
      if (open + items > most)
        throw new HttpProblem(
          'backlog-full',
          `${open} items are unfinished, those of paused batches too, and BACKLOG_MAX_ITEMS is ${most}: ${items > most ? 'so many are never accepted at once' : `${items} more are accepted when some are done`}`,
          {
            headers: { 'Retry-After': '10' },
          },
        );
    },

    /** They were stored. */
    took: (items: number): void => void (taken += items),
  };
}
