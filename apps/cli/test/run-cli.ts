import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { runProgram } from '../src/program.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export interface RunningCli {
  child: ChildProcessWithoutNullStreams;
  stdout(): string;
  stderr(): string;
  ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
}

/** A folder for DATA_DIR, gone after the test. */
export async function dataFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bullpen-cli-data-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts the real program with nothing of our own settings but what is given. */
export function startCli(args: string[], env: Record<string, string> = {}): RunningCli {
  const { PATH = '', HOME = '', BULLPEN_BUILD = '', QUEUE_BACKEND = '' } = process.env;
  const child = spawn(process.execPath, [...entry(BULLPEN_BUILD), ...args], {
    cwd: root,
    env: {
      PATH,
      HOME,
      QUEUE_BACKEND,
      DATA_DIR: join(tmpdir(), 'bullpen-cli-nobody'),
      ...(BULLPEN_BUILD === '' ? {} : { BULLPEN_BUILD }),
      ...env,
    },
    stdio: 'pipe',
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += String(text)));
  child.stderr.on('data', (text) => (stderr += String(text)));
  const ended = once(child, 'close').then(() => ({ code: child.exitCode, stdout, stderr }));
  return { child, stdout: () => stdout, stderr: () => stderr, ended };
}

/** The built program under `npm test`, its sources where vitest was called by hand. */
const entry = (build: string): string[] =>
  build === '' ? ['--import', 'tsx', 'apps/cli/src/main.ts'] : ['--enable-source-maps', join(build, 'cli.mjs')];

/** The same in this process, 30 times as fast: for what needs neither a process nor its signals. */
export async function callCli(
  args: string[],
  env: Record<string, string> = {},
  input = '',
): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const noFolder = { DATA_DIR: join(tmpdir(), 'bullpen-cli-nobody') };
  let code = 0;
  const setExitCode = (to: number): void => void (code = to);
  const context = {
    env: { ...noFolder, ...env },
    folder: env['INIT_CWD'] ?? root,
    stdin: new PassThrough().end(input),
    stdout,
    stderr,
    setExitCode,
  };
  await runProgram(context, args);
  return { code, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') };
}

export function runCli(
  args: string[],
  options: { env?: Record<string, string>; stdin?: string } = {},
): RunningCli['ended'] {
  const { child, ended } = startCli(args, options.env);
  child.stdin.end(options.stdin ?? '');
  return ended;
}
