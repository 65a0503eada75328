import type { Command } from 'commander';
import { readSettings, type Settings } from '@bullpen/runtime';
import type { Context } from '../context.ts';
import { printLines } from '../context.ts';
import { Failure, exitCode } from '../failure.ts';
import { type Builder, changesOf, handlerProblem } from '../processes/builder.ts';
import { type ReloadingFleet, startReloadingFleet } from '../processes/reloading-fleet.ts';
import { durationText } from '../text/numbers.ts';
import { serve } from './start.ts';

const about = `As start, and when a handler (HANDLERS) or a source file changes, everything is built anew and the processes are exchanged:
workers drain, the producer comes back on the same port, the servers stay up, batches go on. What cannot be built or
loaded is printed with its place, and the old processes go on.`;

export function addDev(program: Command, context: Context): void {
  program
    .command('dev')
    .summary('serve until Ctrl-C, and reload when a handler or a source changes (npm run dev)')
    .description(about)
    .addHelpText('after', '\nExamples:\n  pnpm dev\n  HANDLERS=libs/handlers/src,../my-handlers pnpm dev')
    .action(async () => {
      context.setExitCode(await dev(context));
    });
}

async function dev(context: Context): Promise<number> {
  const settings = readSettings(context.env);
  const builder = await builderOf(context);
  let fleet: ReloadingFleet | null = null;
  return serve(context, settings, {
    command: 'pnpm dev',
    fleetOf: (plan) => (fleet = startReloadingFleet(plan)),
    work: (signal) => reloadOnChanges(context, settings, builder, fleet!, signal),
  });
}

async function builderOf({ env }: Context): Promise<Builder> {
  const place = env['BULLPEN_BUILDER'];
  if (place === undefined) throw new Failure('Start it with: pnpm dev', exitCode.usage);
  return (await import(place)) as Builder;
}

async function reloadOnChanges(
  context: Context,
  settings: Settings,
  builder: Builder,
  fleet: ReloadingFleet,
  signal: AbortSignal,
): Promise<void> {
  const say = (...lines: string[]): void => printLines(context.stdout, lines);
  const folders = settings.handlers.split(',');
  let running = context.env['BULLPEN_BUILD'];
  say(`Watching ${folders.join(', ')}, and the sources in apps and libs.`);
  for await (const changed of changesOf(() => builder.look(folders), signal)) {
    const began = performance.now();
    const build = await builder.build(folders).catch(() => null);
    if (build === null) {
      say(`Not reloaded: ${namesText(changed)} cannot be built, the lines above say why. The old processes go on.`);
      continue;
    }
    if (build === running) {
      say('Nothing to reload: all is as it runs.');
      continue;
    }
    const problem = await handlerProblem(build, context.env);
    if (signal.aborted) return;
    if (problem !== null) {
      say(problem, 'Not reloaded: that handler cannot be used. The old processes go on.');
      continue;
    }
    if (await fleet.replace(build)) {
      running = build;
      say(`Reloaded in ${durationText(performance.now() - began)}: ${namesText(changed)}`);
    } else if (!signal.aborted) {
      say('Not reloaded: the new processes do not get ready, the lines above say why. The old ones run again.');
    }
  }
}

const namesText = (files: readonly string[]): string =>
  files.length <= 3 ? files.join(', ') : `${files.slice(0, 3).join(', ')} and ${files.length - 3} more`;
