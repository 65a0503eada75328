import { setTimeout as sleep } from 'node:timers/promises';
import { apiKeyPattern } from '@bullpen/api';
import type { ApiKeyRow, Statements } from '@bullpen/db';
import { isKeyOf } from './key.ts';

/** What is known is this old at most before it is read again, which nobody waits for, and before everybody does. */
const freshMs = 500;
const staleMs = 1500;
/**
 * So long. A database that is silent has to be told of within 5 s; while it is away nobody can revoke a key, and with one that is known
 * nothing can be reached that is in it.
 */
const patienceMs = 150;
/** A read that hangs longer is given up and asked anew: it may be its connection alone, and in the meantime keys are revoked elsewhere. */
const hungMs = 5000;
/** One that is not known may have been made just now by another process: it is looked for again, but not for each stranger. */
const againMs = 100;

/**
 * All keys, in memory: to look at one costs no statement, however many strangers knock. What another process does to them is known within 2 s.
 */
export function createKeyring({ apiKeys }: Pick<Statements, 'apiKeys'>) {
  let rows = new Map<string, ApiKeyRow>();
  let readAt = -Infinity;
  let reading: Promise<void> | null = null;
  /** Somebody has waited in vain for what is being read. */
  let isLate = false;

  const ageMs = (): number => performance.now() - readAt;

  function read(): Promise<void> {
    if (reading !== null) return reading;
    const askedAt = performance.now();
    const mine = withinHungMs(apiKeys())
      .then((found) => {
        // One that was asked before a change here may not know of it.
        if (reading !== mine) return;
        rows = new Map(found.map((row) => [row.id, row]));
        readAt = askedAt;
      })
      .finally(() => {
        if (reading !== mine) return;
        reading = null;
        isLate = false;
      });
    reading = mine;
    return mine;
  }

  /** Throws what the database says, where nothing was ever read. */
  async function refresh(maxAgeMs: number): Promise<void> {
    if (ageMs() === Infinity) return read();
    if (ageMs() <= Math.min(freshMs, maxAgeMs)) return;
    const asked = read();
    const quietly = asked.catch(() => undefined);
    if (ageMs() <= maxAgeMs || isLate) return;
    const late = new AbortController();
    const waited = sleep(patienceMs, true, { signal: late.signal }).catch(() => false);
    if ((await Promise.race([quietly, waited])) === true && reading === asked) isLate = true;
    late.abort();
  }

  return {
    /** To be read once before anybody asks. */
    load: read,

    /** Whether there ever was a key. */
    async isEmpty(): Promise<boolean> {
      await refresh(staleMs);
      return rows.size === 0;
    },

    /** The key as it is kept; null where it is none, or holds no more. */
    async find(key: string): Promise<ApiKeyRow | null> {
      const [, id] = apiKeyPattern.exec(key) ?? [];
      if (id === undefined) return null;
      await refresh(staleMs);
      if (!rows.has(id)) await refresh(againMs);
      const row = rows.get(id);
      if (row === undefined || !isKeyOf(key, row)) return null;
      return isOver(row) ? null : row;
    },

    /** Whether a key that was let in before still holds. */
    async holds(id: string): Promise<boolean> {
      await refresh(staleMs);
      const row = rows.get(id);
      return row !== undefined && !isOver(row);
    },

    /** What this process has just changed holds at once. */
    forget(): void {
      reading = null;
      isLate = false;
      readAt = Math.min(readAt, performance.now() - staleMs - 1);
    },
  };
}

/** A statement cannot be taken back: what it answers later is not waited for. The code is one for a server that is away. */
async function withinHungMs<Answer>(answer: Promise<Answer>): Promise<Answer> {
  const over = new AbortController();
  const late = sleep(hungMs, undefined, { signal: over.signal, ref: false }).then(() => {
    throw Object.assign(new Error(`the keys were not read within ${hungMs} ms`), { code: 'ETIMEDOUT' });
  });
  // Of the two that is heard which is first.
  late.catch(() => undefined);
  return Promise.race([answer, late]).finally(() => over.abort());
}

const isOver = ({ revokedAt, expiresAt }: ApiKeyRow): boolean =>
  revokedAt !== null || (expiresAt !== null && expiresAt.getTime() <= Date.now());
