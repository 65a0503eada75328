import type { Context } from './context.ts';
import { runProgram } from './program.ts';

// A reader that went away (`| head`) is no fault: who writes much looks at the stream, and a serving process drains as usual.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

let exitCode = 0;
const context: Context = {
  env: process.env,
  // npm and pnpm run this in the root, and say in INIT_CWD where the user stands.
  folder: process.env['INIT_CWD'] || process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  setExitCode: (code) => {
    exitCode = code;
  },
};

await runProgram(context, process.argv.slice(2));
process.exit(exitCode);
