import { spawn } from 'node:child_process';

export interface Outcome {
  /** The exit code; null when a signal ended it or it could not be started. */
  code: number | null;
  /** stdout and stderr as they came, the last 64 KiB. */
  output: string;
}

interface Options {
  input?: string;
  env?: NodeJS.ProcessEnv;
  ids?: { uid?: number; gid?: number };
}

const OUTPUT_MAX_CHARS = 64 * 1024;

/** Runs a short-lived program (its name, then its arguments) to its end. Failing is an answer, not an exception. */
export const runCommand = ([command = '', ...args]: string[], { input, env, ids }: Options = {}): Promise<Outcome> =>
  new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'pipe', cwd: '/', env, ...ids });
    let output = '';
    const collect = (bytes: Buffer) => {
      output = (output + bytes.toString()).slice(-OUTPUT_MAX_CHARS);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.stdin.on('error', () => {}); // A program that ends without reading its input says why on stderr.
    child.stdin.end(input ?? '');
    child.once('error', (error) => resolve({ code: null, output: error.message }));
    child.once('close', (code) => resolve({ code, output }));
  });

/** The last lines that say something, in one line: good enough to quote in an error. */
export const lastLines = (output: string, count: number): string =>
  output.trim().split('\n').filter(Boolean).slice(-count).join(' | ');
