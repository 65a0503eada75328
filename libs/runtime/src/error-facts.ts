/** What may be logged of an error. */
export interface ErrorFacts {
  error: string;
  code?: string;
}

const wordsMax = 500;
const framesMax = 8;

/**
 * What may be logged of an error of a server, of the system or of ours: its words and code, never the query and parameters that
 * Drizzle puts into its message. What is in the hands of a handler, or was sent by a client, may be in the words of any other
 * error: then it is `placeOf`.
 */
export function errorFacts(error: unknown): ErrorFacts {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = (cause as { code?: unknown })?.code;
  const isCode = typeof code === 'string' && /^[\w.-]{1,50}$/.test(code);
  return { error: wordsOf(cause).slice(0, wordsMax), ...(isCode ? { code } : {}) };
}

/** Drizzle's, with the query and its parameters for a message, and what PostgreSQL said for a cause. */
export const isFailedQuery = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('Failed query:');

/** Without the values that PostgreSQL and Node put into some of their words. */
function wordsOf(cause: unknown): string {
  if (!(cause instanceof Error)) return thrown(cause);
  const { message } = cause;
  if (isFailedQuery(cause)) return 'a query failed';
  const code = (cause as { code?: unknown }).code;
  // `invalid input syntax for type bigint: "…"`, `Unexpected token 'x', "…" is not valid JSON`
  if (cause instanceof SyntaxError || (typeof code === 'string' && /^22\w{3}$/.test(code)))
    return message.replace(/["'][^]*["']/, '"…"');
  return message.replace(/\bReceived [^]*/, 'Received …');
}

/**
 * What may be logged of an error whose words nobody knows: its class, its code where that is one of the system or of a server, and
 * where it came from. A handler throws what it likes, and has its input at hand; its words go to the item's result.
 */
export function placeOf(error: unknown): ErrorFacts & { at?: string[] } {
  try {
    if (!(error instanceof Error)) return { error: thrown(error) };
    const { code, constructor, message, stack = '' } = error as Error & { code?: unknown };
    const name = /^[A-Za-z_$][\w$]{0,50}$/.test(constructor.name) ? constructor.name : 'Error';
    const isCode = typeof code === 'string' && /^[A-Z0-9][A-Z0-9_]{3,40}$/.test(code);
    return { error: name, ...(isCode ? { code } : {}), ...framesOf(stack, message) };
  } catch {
    return { error: 'an error that cannot be read' };
  }
}

const thrown = (value: unknown): string => `${value === null ? 'null' : `a value (${typeof value})`} was thrown`;

/** Lines of the message may look like frames, so it is taken out first. */
function framesOf(stack: string, message: string): { at?: string[] } {
  const start = message === '' ? 0 : stack.indexOf(message);
  if (start < 0) return {};
  const lines = stack.slice(start + message.length).split('\n');
  const at = lines.filter((line) => line.startsWith('    at ')).slice(0, framesMax);
  return at.length === 0 ? {} : { at: at.map((line) => line.trim()) };
}
