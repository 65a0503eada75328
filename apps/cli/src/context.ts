import type { Readable, Writable } from 'node:stream';
import { asTyped } from './text/runner.ts';

/** What a command has to do with the world, so that it can be run without a process around it. */
export interface Context {
  env: Readonly<Record<string, string | undefined>>;
  /** Where the user stands: paths on the command line start here. */
  folder: string;
  stdin: Readable;
  stdout: Terminal;
  stderr: Terminal;
  /** How the command ends unless it throws. */
  setExitCode(code: number): void;
}

/** A stream that may be a terminal. */
export type Terminal = Writable & { isTTY?: boolean | undefined; columns?: number | undefined };

/** Lines for a person; commands in them are spelled for the runner that is used. */
export const printLines = (stream: Writable, lines: readonly string[]): void => {
  if (lines.length > 0) stream.write(`${asTyped(lines.join('\n'))}\n`);
};

/** For scripts: one JSON value, indented so that people can read it too. */
export const printJson = (stream: Writable, value: unknown): void => {
  stream.write(`${JSON.stringify(value, null, 2)}\n`);
};
