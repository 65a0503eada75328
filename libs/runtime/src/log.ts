import { pino, type Logger } from 'pino';
import { errorFacts } from './error-facts.ts';
import { maskSecrets } from './mask.ts';
import { pinoPretty } from './pretty.ts';

export type Log = Logger;

/**
 * The log of a process: JSON lines on stdout, readable lines where stdout is a terminal. Whatever it is given, no line leaves with a key or a
 * password in it. Inputs, outputs and SQL parameters look like anything: never give it these, and errors only by error-facts.ts.
 */
export function createLog(options: { name: string; level: string; pretty?: boolean }): Log {
  const settings = {
    name: options.name,
    level: options.level,
    base: { name: options.name },
    // Of an error that is given as it is, also by a handler.
    serializers: { err: errorFacts },
    hooks: { streamWrite: maskSecrets },
  };
  return (options.pretty ?? process.stdout.isTTY) ? pino(settings, pinoPretty()) : pino(settings);
}
