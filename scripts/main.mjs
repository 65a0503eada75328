import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runNode } from './child.mjs';
import { commands, help } from './commands.mjs';
import { install } from './install.mjs';
import { ROOT } from './root.mjs';

/** Settings, packages, command; ends the process with the command's exit code. */
export async function run([name, ...args]) {
  const command = Object.hasOwn(commands, name ?? '') ? commands[name] : undefined;
  if (!command) {
    const asked = name === undefined || name === '--help' || name === '-h' || name === 'help';
    if (!asked) console.error(`There is no command "${name}".\n`);
    console.log(help());
    process.exit(asked ? 0 : 64); // EX_USAGE
  }
  // What the real environment says wins over the file.
  const file = join(ROOT, '.env');
  const { NODE_EXTRA_CA_CERTS: known } = process.env;
  if (existsSync(file)) process.loadEnvFile(file);
  // Where the user stands; npm and pnpm set it too. The commands themselves run in the root, where tsx and .data are.
  process.env.INIT_CWD ??= process.cwd();
  // Node reads that one when it starts, and never again.
  if (process.env.NODE_EXTRA_CA_CERTS !== known) process.exit(await runNode(process.argv.slice(1)));

  const problem = await install();
  if (problem) {
    console.error(problem);
    process.exit(69); // EX_UNAVAILABLE
  }
  process.exit(await command.run(args));
}
