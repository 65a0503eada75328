import type { Statements } from '@bullpen/db';

/** A client gets its 503 within 5 s. The statements' own patience is shorter; this is for a server that froze. */
const deadlineMs = 4800;

/** A code that `verdictOf` takes for a server that is away. */
export class SilentDatabase extends Error {
  readonly code = 'ETIMEDOUT';
}

/** The statements as requests use them: each rejects when the database has been silent for too long. */
export function createImpatient(statements: Statements): Statements {
  const entries = Object.entries(statements) as [string, (...args: unknown[]) => Promise<unknown>][];
  return Object.fromEntries(
    entries.map(([name, statement]) => [name, (...args: unknown[]) => within(deadlineMs, statement(...args))]),
  ) as unknown as Statements;
}

export async function within<Answer>(ms: number, promise: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new SilentDatabase(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}
