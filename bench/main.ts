import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { installPeers } from '../scripts/install.mjs';
import { ServiceError, SettingsError } from '@bullpen/runtime';
import { resultsFolder } from './kit/kept.ts';
import { describeMachine } from './kit/machine.ts';
import { refusals } from './kit/refuse.ts';
import { reportLines, verdictLines } from './kit/report.ts';
import { type Asked, type Report, runsOf, type Scenario } from './kit/scenario.ts';
import { openServers } from './kit/servers.ts';
import { scenarios } from './scenarios/index.ts';

const listed = ({ name, title, targets }: Scenario): string =>
  `  ${name.padEnd(12)} ${title}${targets.length > 0 ? ` (${targets.join(', ')})` : ''}`;
/** What `all` means. */
const common = scenarios.filter(({ isAside, isSeed }) => !isAside && !isSeed);
const aside = scenarios.filter(({ isAside }) => isAside);
const seeds = scenarios.filter(({ isSeed }) => isSeed);
/** Names that mean several. */
const groups: Record<string, readonly Scenario[]> = { all: common, seeds };

const usage = `Usage: pnpm bench [all | seeds | scenario … | plot] [options]

Measures Bullpen on this machine, beside what else does such work, in turns. Without a name: all quick ones, in less than
five minutes. Figures go to the terminal and, as JSON, to bench/results/; plot draws the newest into docs/plots/ and
writes them into the tables of README.md, docs/rates.md and docs/workloads.

${common.map(listed).join('\n')}

Only when named:

${aside.map(listed).join('\n')}

The five systems that Bullpen grew from, as workloads (docs/workloads); seeds runs them all:

${seeds.map(listed).join('\n')}

Options:
  --runs N      runs of each variant, of which the median counts (default 3; quick 1)
  --items N     items of a batch, where the scenario has one size
  --workers N   workers, where the scenario does not vary them
  --quick       small sizes, and only the nearest peers
  --no-save     write no files

Examples:
  pnpm bench rate --runs 5
  pnpm bench all
  pnpm bench plot`;

/** Who has only npm is told the commands of npm. */
const asTyped = (text: string): string =>
  process.env['npm_config_user_agent']?.startsWith('pnpm')
    ? text
    : text.replaceAll('pnpm bench', 'npm run -s bench --');

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  // What the servers cannot do is told in a line; anything else is ours to look for.
  if (!(error instanceof ServiceError || error instanceof SettingsError)) throw error;
  console.error(error.message);
  return 78; // EX_CONFIG
});

async function main(args: string[]): Promise<number> {
  const command = read(args);
  if (typeof command === 'string') {
    console.error(asTyped(`${command}\nSee: pnpm bench --help`));
    return 2;
  }
  if (command.help) {
    console.log(asTyped(usage));
    return 0;
  }
  const problems = command.plot ? [] : refusals(process.env, process.execArgv);
  if (problems.length > 0) {
    console.error(problems.join('\n'));
    return 78; // EX_CONFIG
  }
  const missing = await installPeers();
  if (missing !== null) {
    console.error(missing);
    return 69; // EX_UNAVAILABLE
  }
  if (command.plot) return (await import('./plot.ts')).plot(console.error);
  process.env['NODE_ENV'] = 'production';
  return measure(command.chosen, command.asked, command.save);
}

async function measure(chosen: readonly Scenario[], asked: Asked, save: boolean): Promise<number> {
  const say = (line: string): void => console.error(`  ${line}`);
  const servers = await openServers(process.env, say);
  const verdicts = [];
  try {
    const machine = await describeMachine(servers);
    console.log(
      Object.entries(machine)
        .map(([name, value]) => `${name}: ${value}`)
        .join('\n'),
    );
    for (const scenario of chosen) {
      console.error(`\n${scenario.name}: ${scenario.title}`);
      const report = await scenario.run({ servers, asked, say });
      console.log(reportLines(report).join('\n'));
      verdicts.push(...report.verdicts);
      if (save) await keep(scenario, asked, machine, report);
    }
  } finally {
    await servers.stop();
  }
  if (chosen.length > 1) console.log(['', 'All targets', ...verdictLines(verdicts)].join('\n'));
  return 0;
}

async function keep({ name, title }: Scenario, asked: Asked, machine: object, report: Report): Promise<void> {
  await mkdir(resultsFolder, { recursive: true });
  const at = new Date().toISOString();
  const file = new URL(`${at.slice(0, 10)}-${name}${asked.quick ? '-quick' : ''}.json`, resultsFolder);
  console.error(`  kept in bench/results/${file.pathname.split('/').at(-1)}`);
  await writeFile(file, `${JSON.stringify({ name, title, at, asked, machine, ...report }, null, 1)}\n`);
}

interface Command {
  help: boolean;
  /** Draw what was measured, and measure nothing. */
  plot: boolean;
  chosen: readonly Scenario[];
  asked: Asked;
  save: boolean;
}

function read(args: string[]): Command | string {
  const whole = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        runs: whole,
        items: whole,
        workers: whole,
        quick: flag,
        'no-save': flag,
        help: { ...flag, short: 'h' },
      },
    });
    const number = (name: 'runs' | 'items' | 'workers'): number | undefined => {
      const text = values[name];
      if (text !== undefined && !/^[1-9]\d{0,8}$/.test(text))
        throw new Error(`--${name} must be a whole number from 1, not "${text}"`);
      return text === undefined ? undefined : Number(text);
    };
    const plot = positionals.includes('plot');
    if (plot && positionals.length > 1) return 'plot draws what was measured before: it stands alone.';
    const group = positionals.find((name) => Object.hasOwn(groups, name));
    if (group !== undefined && positionals.length > 1)
      return `${group} stands alone; what it leaves out is named by itself.`;
    const known = [...Object.keys(groups), 'plot', ...scenarios.map(({ name }) => name)];
    const unknown = positionals.find((name) => !known.includes(name));
    if (unknown !== undefined) return `There is no benchmark "${unknown}"; there are ${known.join(', ')}.`;
    const quick = values.quick ?? positionals.length === 0;
    const chosen =
      groups[group ?? (positionals.length === 0 ? 'all' : '')] ??
      scenarios.filter(({ name }) => positionals.includes(name));
    const asked = {
      items: number('items'),
      workers: number('workers'),
      runs: number('runs') ?? runsOf(quick),
      quick,
    };
    for (const name of ['items', 'workers'] as const)
      if (asked[name] !== undefined && !chosen.some(({ takes }) => takes?.includes(name) ?? true))
        return `--${name} means nothing to ${chosen.map((one) => one.name).join(', ')}.`;
    return { help: values.help ?? false, plot, chosen, asked, save: values['no-save'] !== true };
  } catch (error) {
    return (error as Error).message;
  }
}
