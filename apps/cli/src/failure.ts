import { ApiError, type ProblemError, UnreachableError } from '@bullpen/api';
import { maskSecrets, SettingsError } from '@bullpen/runtime';
import { CommanderError } from 'commander';

/** How the program ends. Shown at the end of `--help`. */
export const exitCode = { good: 0, failed: 1, usage: 2, configuration: 78, interrupted: 130 } as const;

/** Expected trouble: the message says what to do next, in one line or a few. */
export class Failure extends Error {
  readonly exitCode: number;
  constructor(message: string, code: number = exitCode.failed) {
    super(message);
    this.name = 'Failure';
    this.exitCode = code;
  }
}

/** Its words: anything may be thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The lines for stderr, without keys and passwords, and the exit code of whatever ended a command. */
export function explain(error: unknown): { lines: string[]; exitCode: number } {
  const { lines, exitCode: code } = describe(error);
  return { lines: lines.map(maskSecrets), exitCode: code };
}

function describe(error: unknown): { lines: string[]; exitCode: number } {
  // Commander has printed its own words, help included.
  if (error instanceof CommanderError) return { lines: [], exitCode: error.exitCode === 0 ? 0 : exitCode.usage };
  if (error instanceof SettingsError) return { lines: settingsLines(error), exitCode: error.exitCode };
  if (error instanceof ApiError) return { lines: problemLines(error), exitCode: exitCode.failed };
  if (error instanceof UnreachableError) return { lines: [error.message], exitCode: exitCode.failed };
  if (error instanceof Error && 'exitCode' in error && typeof error.exitCode === 'number') {
    return { lines: error.message.split('\n'), exitCode: error.exitCode };
  }
  // The system's own words name the file and what is wrong with it.
  if (error instanceof Error && 'syscall' in error) return { lines: [error.message], exitCode: exitCode.failed };
  const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { lines: [`This is a bug in the CLI, please report it: ${words}`], exitCode: exitCode.failed };
}

const settingsLines = ({ problems }: SettingsError): string[] => [
  'These settings cannot be used (environment or .env):',
  ...problems.map((problem) => `  ${problem}`),
];

/** `Unprocessable: no handler "ehco" (422)`, then each fault with its place. */
function problemLines({ status, problem }: ApiError): string[] {
  const { title, detail, errors } = problem;
  const words = detail && detail !== title ? `${title}: ${detail}` : title;
  return [`${words} (HTTP ${status})`, ...(errors ?? []).map((each) => `  ${placed(each)}`), ...nextLines(status)];
}

const nextLines = (status: number): string[] =>
  status === 401
    ? ['Set BULLPEN_API_KEY to a key of this service. Who has one that is admin makes others: pnpm bullpen keys create']
    : [];

/** `line 3, /a: expected a number`. */
function placed({ line, pointer = '', message }: ProblemError): string {
  const place = [...(line === undefined ? [] : [`line ${line}`]), ...(pointer === '' ? [] : [pointer])];
  return place.length === 0 ? message : `${place.join(', ')}: ${message}`;
}
