import { pino, type Logger } from 'pino';
import { pinoPretty } from './pretty.ts';

export type Log = Logger;

/** The log of a process: JSON lines on stdout, readable lines where stdout is a terminal. Never give it inputs, outputs or SQL parameters. */
export function createLog(options: { name: string; level: string; pretty?: boolean }): Log {
  const settings = { name: options.name, level: options.level, base: { name: options.name } };
  return (options.pretty ?? process.stdout.isTTY) ? pino(settings, pinoPretty()) : pino(settings);
}

/** What may be logged of an error: its words and code, never the query and parameters that Drizzle puts into its message. */
export function errorFacts(error: unknown): { error: string; code?: string } {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = (cause as { code?: unknown })?.code;
  const message = cause instanceof Error ? cause.message : String(cause);
  return { error: message.slice(0, 500), ...(typeof code === 'string' ? { code } : {}) };
}
