import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.mjs';
import { runBin, runHere } from './child.mjs';
import { ROOT } from './root.mjs';

/** A subcommand of the program in apps/cli. */
const app = (what, words) => ({
  what,
  run: async (args) => {
    // The processes that the program starts come from the same build.
    process.env.BULLPEN_BUILD = await build(handlerFolders());
    return runHere(join(process.env.BULLPEN_BUILD, 'cli.mjs'), [...words, ...args]);
  },
});

const handlerFolders = () => (process.env.HANDLERS || 'libs/handlers/src').split(',');

export const commands = {
  demo: app('sets everything up and runs 100 000 simulations with 3 workers', ['demo']),
  start: app('sets everything up and serves until Ctrl-C', ['start']),
  producer: app('only a producer, for several terminals or machines', ['producer']),
  worker: app('only workers: worker [--scale N]', ['worker']),
  bullpen: app('the API from a terminal: submit, watch, results, … (bullpen --help)', []),
  test: { what: 'runs all tests, or those of the files named', run: test },
  check: { what: 'format, lint, types, unused code', run: check },
  fix: { what: 'formats, and repairs what the linter can', run: fix },
  'db:generate': {
    what: 'writes a migration for what changed in the schema',
    run: (args) => runBin('drizzle-kit', ['generate', '--config', 'libs/db/drizzle.config.ts', ...args]),
  },
  'db:migrate': app('brings the database up to date', ['migrate']),
};

export function help() {
  const lines = Object.entries(commands).map(([name, { what }]) => `  ${name.padEnd(12)} ${what}`);
  return `Usage: npm run <command> [-- arguments], pnpm <command> [arguments]\n\n${lines.join('\n')}`;
}

/** Explicit, because the tools' own search walks through data folders and other checkouts too. */
function sources() {
  const folders = ['apps', 'libs', 'bench', 'scripts', 'test'].filter((name) => existsSync(join(ROOT, name)));
  return [...folders, ...readdirSync(ROOT).filter((name) => name.endsWith('.ts'))];
}

async function test(args) {
  process.env.BULLPEN_BUILD = await build([...handlerFolders(), 'libs/testkit/handlers']);
  return runBin('vitest', ['run', ...args]);
}

/** All of them, so that one run tells everything. */
async function check() {
  const steps = {
    format: ['oxfmt', '--check', ...sources()],
    lint: ['oxlint', '--type-aware', '--deny-warnings', ...sources()],
    types: ['tsc', '--noEmit'],
    unused: ['knip'],
  };
  const failed = [];
  for (const [name, [bin, ...args]] of Object.entries(steps)) {
    if ((await runBin(bin, args)) !== 0) failed.push(name);
  }
  console.log(
    failed.length === 0 ? `check: ${Object.keys(steps).join(', ')}: all fine` : `check: failed: ${failed.join(', ')}`,
  );
  return failed.length === 0 ? 0 : 1;
}

async function fix() {
  const formatted = await runBin('oxfmt', sources());
  const linted = await runBin('oxlint', ['--fix', ...sources()]);
  return formatted || linted;
}
