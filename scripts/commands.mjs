import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build, keep } from './build.mjs';
import { runBin, runHere } from './child.mjs';
import { ROOT } from './root.mjs';
import { soak } from './soak.mjs';
import { testFaults } from './test-faults.mjs';
import { testOrder } from './test-order.mjs';

/** A subcommand of the program in apps/cli. */
const app = (what, words) => ({
  what,
  run: async (args) => {
    // The processes that the program starts come from the same build; `dev` makes new ones as the sources change.
    const built = await build(handlerFolders()).catch(refuse);
    if (built === null) return 78; // EX_CONFIG
    process.env.BULLPEN_BUILD = built;
    keep(built);
    process.env.BULLPEN_BUILDER = new URL('./build.mjs', import.meta.url).href;
    return runHere(join(process.env.BULLPEN_BUILD, 'cli.mjs'), [...words, ...args]);
  },
});

/** esbuild has printed each fault with its place. */
function refuse(error) {
  if (!Array.isArray(error.errors)) throw error;
  console.error('The handlers or the sources cannot be built: the lines above say where and why.');
  return null;
}

const handlerFolders = () => (process.env.HANDLERS || 'libs/handlers/src').split(',');

export const commands = {
  demo: app('sets everything up and runs 100 000 simulations with 3 workers', ['demo']),
  start: app('sets everything up and serves until Ctrl-C', ['start']),
  dev: app('as start, and reloads handlers and sources when they change', ['dev']),
  producer: app('only a producer, for several terminals or machines', ['producer']),
  worker: app('only workers: worker [--scale N]', ['worker']),
  bullpen: app('the API from a terminal: submit, watch, results, … (bullpen --help)', []),
  test: { what: 'runs all tests, or those of the files named', run: test },
  'test:order': {
    what: 'plays random histories of faults against groups in order (test:order --help)',
    run: (args) => testOrder(args, buildForTests),
  },
  'test:faults': {
    what: 'provokes every fault, or plants bugs that must be seen (test:faults --help)',
    run: (args) => testFaults(args, buildForTests),
  },
  soak: {
    what: 'random faults for minutes, then the ledger (soak --help)',
    run: (args) => soak(args, buildForTests),
  },
  bench: { what: 'measures it on this machine beside what else does such work (bench --help)', run: bench },
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

const buildForTests = (plant) => build([...handlerFolders(), 'libs/testkit/handlers'], plant);

async function test(args) {
  process.env.BULLPEN_BUILD = await buildForTests();
  return runBin('vitest', ['run', ...args]);
}

async function bench(args) {
  process.env.BULLPEN_BUILD = await build(['libs/handlers/src', 'bench/handlers']);
  return runBin('tsx', ['bench/main.ts', ...args]);
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
