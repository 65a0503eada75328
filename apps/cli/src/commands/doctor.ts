import type { Command } from 'commander';
import { readSettings } from '@bullpen/runtime';
import { printJson, printLines, type Context } from '../context.ts';
import type { Finding, Level } from '../doctor/finding.ts';
import { exitCode } from '../failure.ts';
import { itemsText } from '../text/numbers.ts';

const about = `Looks at the servers and their settings, the clock, the connections, locks, migrations, workers, partitions, and for
lost chunks and wrong counts. It changes nothing and starts nothing: it uses DATABASE_URL and REDIS_URL, else the servers of
the Bullpen that runs on DATA_DIR. Exit code 0 when nothing has to be done, 1 when something has, 78 when it cannot look.`;

const examples = `
Examples:
  pnpm bullpen doctor
  pnpm bullpen doctor --strict
  pnpm bullpen doctor --json | jq -r '.findings[] | select(.level != "ok") | .remedy'`;

export function addDoctor(program: Command, context: Context): void {
  program
    .command('doctor')
    .summary('find out what is wrong, and the command that mends it')
    .description(about)
    .option('--json', 'print JSON for scripts, and nothing else, on stdout')
    .option('--strict', 'a warning is something to be done too: before going live')
    .addHelpText('after', examples)
    .action(async (options: { json?: boolean; strict?: boolean }) => {
      context.setExitCode(await doctor(context, options));
    });
}

async function doctor(context: Context, { json, strict }: { json?: boolean; strict?: boolean }): Promise<number> {
  const settings = readSettings(context.env);
  // Loaded here alone: the other commands start faster without them.
  const [{ findPlace }, { examine }] = await Promise.all([
    import('../doctor/place.ts'),
    import('../doctor/examine.ts'),
  ]);
  const place = await findPlace(settings);
  const findings = await examine(settings, place);
  const todo = findings.filter(({ level }) => level === 'bad' || (strict && level === 'warn')).length;
  if (json) printJson(context.stdout, { healthy: todo === 0, findings });
  else printLines(context.stdout, [...findings.flatMap(linesOf(findings)), '', summary(findings)]);
  return todo === 0 ? exitCode.good : exitCode.failed;
}

/** `warn  postgres work_mem  4MB; at least 16MB is recommended: …`, and below it the remedy. */
const linesOf = (all: readonly Finding[]): ((finding: Finding) => string[]) => {
  const widest = Math.max(...all.map(({ check }) => check.length));
  return ({ level, check, found, remedy }) => {
    const indent = ' '.repeat(6 + widest);
    return [`${level.padEnd(4)}  ${check.padEnd(widest)}  ${found}`, ...(remedy ? [`${indent}  → ${remedy}`] : [])];
  };
};

function summary(findings: readonly Finding[]): string {
  const count = (level: Level): number => findings.filter((each) => each.level === level).length;
  const [bad, warn] = [count('bad'), count('warn')];
  if (bad + warn === 0) return `All is well: ${itemsText(findings.length, 'check')}.`;
  return `${itemsText(findings.length, 'check')}: ${bad} bad, ${itemsText(warn, 'warning')}. Each → mends the line above it.`;
}
