import type { ProgressRow, Statements } from '@bullpen/db';
import type { Response } from 'express';
import { nextEvents, type Seen } from './event-text.ts';
import { HttpProblem } from './problem.ts';

/** How often the batches are looked at, and a client hears of progress. */
const everyMs = 500;
/** A timer may be a little early, and a read takes a moment. */
const slackMs = 50;
/** Proxies cut what is silent, most of them after 60 s, some after 20. */
const silenceMs = 15_000;
/** The database may be away this long; then clients are sent away, to come back when it has. */
const troubleMs = 10_000;
/** Clients at once. */
const followersMax = 1000;

export interface FollowerLimits {
  followersMax?: number;
  silenceMs?: number;
  troubleMs?: number;
}

interface Follower {
  id: string;
  res: Response;
  seen: Seen;
  writtenAt: number;
  progressAt: number;
}

export type Followers = ReturnType<typeof createFollowers>;

/**
 * Clients that follow batches, all of them by one read each half second, and only while there are any. A client that does
 * not take its events gets fewer of them, never a queue: what it has seen is compared with what is.
 */
export function createFollowers({
  statements,
  stopping,
  limits = {},
}: {
  statements: Pick<Statements, 'progress'>;
  stopping?: AbortSignal | undefined;
  limits?: FollowerLimits | undefined;
}) {
  const bounds = { followersMax, silenceMs, troubleMs, ...limits };
  const followers = new Set<Follower>();
  let timer: NodeJS.Timeout | null = null;
  let readAt = 0;
  stopping?.addEventListener('abort', endAll, { once: true });

  function endAll(): void {
    for (const { res } of followers) res.end();
  }

  async function look(): Promise<void> {
    try {
      const rows = await statements.progress([...new Set([...followers].map(({ id }) => id))]);
      readAt = performance.now();
      const found = new Map(rows.map((row) => [row.id, row]));
      for (const follower of followers) tell(follower, found.get(follower.id));
    } catch {
      if (performance.now() - readAt > bounds.troubleMs) endAll();
    }
    timer = followers.size > 0 ? setTimeout(() => void look(), everyMs) : null;
  }

  /** What is new to it. A batch that is no longer there has no more events. */
  function tell(follower: Follower, row: ProgressRow | undefined): void {
    const { res } = follower;
    if (row === undefined) return void res.end();
    const now = performance.now();
    const withProgress = now - follower.progressAt >= everyMs - slackMs;
    const { text, seen, over, hasProgress } = nextEvents(row, follower.seen, { withProgress });
    if (over) return void res.end(text);
    const silent = now - follower.writtenAt >= bounds.silenceMs;
    if (res.writableNeedDrain || (text === '' && !silent)) return;
    res.write(text === '' ? ': still there\n\n' : text);
    follower.seen = seen;
    follower.writtenAt = now;
    if (hasProgress) follower.progressAt = now;
  }

  return {
    refuseTooMany(): void {
      const headers = { 'Retry-After': '5' };
      if (stopping?.aborted) throw new HttpProblem('unavailable', 'The service stops', { headers });
      if (followers.size >= bounds.followersMax)
        throw new HttpProblem('busy', `${bounds.followersMax} clients follow batches at the moment`, { headers });
    },
    /** Tells a client what it has not seen of a batch, until the batch has ended or one of both leaves. */
    add(res: Response, row: ProgressRow, seen: Seen): void {
      const follower = { id: row.id, res, seen, writtenAt: performance.now(), progressAt: -Infinity };
      res.flushHeaders();
      tell(follower, row);
      if (res.writableEnded || res.destroyed) return;
      followers.add(follower);
      res.once('close', () => followers.delete(follower));
      if (timer !== null) return;
      readAt = performance.now();
      timer = setTimeout(() => void look(), everyMs);
    },
  };
}
