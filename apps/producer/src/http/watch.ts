import type { Statements } from '@bullpen/db';
import { HttpProblem } from './problem.ts';

const everyMs = 100;
const waitersMax = 1000;

interface Waiter {
  id: string;
  settle: (error?: unknown) => void;
}

export type Watcher = ReturnType<typeof createWatcher>;

/**
 * Waits for batches to end, for all requests together: one read each 100 ms, and only while somebody waits. When that
 * read fails, all who wait are told.
 */
export function createWatcher({
  statements,
  stopping,
}: {
  statements: Pick<Statements, 'ended'>;
  stopping?: AbortSignal | undefined;
}) {
  const waiters = new Set<Waiter>();
  let timer: NodeJS.Timeout | null = null;
  stopping?.addEventListener('abort', () => waiters.forEach(({ settle }) => settle()), { once: true });

  async function look(): Promise<void> {
    const asked = [...waiters];
    try {
      const ended = new Set(await statements.ended([...new Set(asked.map(({ id }) => id))]));
      for (const { id, settle } of asked) if (ended.has(id)) settle();
    } catch (error) {
      for (const { settle } of asked) settle(error);
    }
    timer = waiters.size > 0 ? setTimeout(() => void look(), everyMs) : null;
  }

  return {
    /** Resolves when the batch has ended, after `ms`, when the client has left, or when the process stops. */
    wait(id: string, ms: number, left: AbortSignal): Promise<void> {
      if (waiters.size >= waitersMax)
        throw new HttpProblem('busy', 'Too many requests wait for batches', { headers: { 'Retry-After': '1' } });
      if (left.aborted || stopping?.aborted) return Promise.resolve();
      return new Promise((resolve, reject) => {
        const waiter: Waiter = {
          id,
          settle(error) {
            waiters.delete(waiter);
            clearTimeout(expiry);
            left.removeEventListener('abort', onLeft);
            if (error === undefined) resolve();
            else reject(error);
          },
        };
        const onLeft = (): void => waiter.settle();
        const expiry = setTimeout(() => waiter.settle(), ms);
        left.addEventListener('abort', onLeft);
        waiters.add(waiter);
        timer ??= setTimeout(() => void look(), everyMs);
      });
    },
    /** How many wait. */
    size: (): number => waiters.size,
  };
}
