import { Command } from 'commander';
import { addAppend, addClose } from './commands/append.ts';
import { addControl } from './commands/control.ts';
import { addDelete } from './commands/delete.ts';
import { addDemo } from './commands/demo.ts';
import { addDev } from './commands/dev.ts';
import { addDoctor } from './commands/doctor.ts';
import { addGaps } from './commands/gaps.ts';
import { addHandlers } from './commands/handlers.ts';
import { addJob } from './commands/job.ts';
import { addKeys } from './commands/keys.ts';
import { addList, addShow } from './commands/list.ts';
import { addLimits, addSet } from './commands/limits.ts';
import { addMigrate } from './commands/migrate.ts';
import { addFailures } from './commands/failures.ts';
import { addPartitions } from './commands/partitions.ts';
import { addProcesses } from './commands/processes.ts';
import { addResults } from './commands/results.ts';
import { addStart } from './commands/start.ts';
import { addSubmit } from './commands/submit.ts';
import { addValidate } from './commands/validate.ts';
import { addWatch } from './commands/watch.ts';
import { addWorkers } from './commands/workers.ts';
import { printLines, type Context } from './context.ts';
import { explain } from './failure.ts';
import { asTyped, setRunner } from './text/runner.ts';

const epilogue = `
Examples:
  npm start
  pnpm bullpen submit --handler simulate --count 100000 --watch
  pnpm bullpen submit numbers.csv --handler add --watch
  pnpm bullpen list --state running

Exit codes: 0 good · 1 the request or the job failed, validate found faults, or the watched batch was cancelled · 2 wrong usage · 78 wrong configuration · 130 Ctrl-C
Settings come from the environment and from .env; .env.example shows them all.`;

/** Runs one command to its end; what goes wrong is explained on stderr. Without a command it is the help. */
export async function runProgram(context: Context, args: readonly string[]): Promise<void> {
  setRunner(context.env);
  try {
    await createProgram(context).parseAsync(args.length > 0 ? args : ['--help'], { from: 'user' });
  } catch (error) {
    const { lines, exitCode } = explain(error);
    printLines(context.stderr, lines);
    context.setExitCode(exitCode);
  }
}

/** All commands. Errors are thrown, and so is commander's wish to exit. */
function createProgram(context: Context): Command {
  const program = new Command('bullpen')
    .usage('<command> [options]')
    .description('Runs millions of small jobs and keeps exactly one result for each.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.stdout.write(asTyped(text)),
      writeErr: (text) => void context.stderr.write(asTyped(text)),
      getOutHelpWidth: () => context.stdout.columns || 100,
      getErrHelpWidth: () => context.stderr.columns || 100,
    })
    .addHelpText('after', epilogue);
  program.commandsGroup('Run it:');
  addStart(program, context);
  addDev(program, context);
  addDemo(program, context);
  addProcesses(program, context);
  addMigrate(program, context);
  addDoctor(program, context);
  program.commandsGroup('Give it work:');
  addSubmit(program, context);
  addValidate(program, context);
  addAppend(program, context);
  addClose(program, context);
  addJob(program, context);
  addSet(program, context);
  addControl(program, context);
  addLimits(program, context);
  program.commandsGroup('See what it does:');
  addWatch(program, context);
  addList(program, context);
  addShow(program, context);
  addResults(program, context);
  addFailures(program, context);
  addGaps(program, context);
  addWorkers(program, context);
  addPartitions(program, context);
  addHandlers(program, context);
  program.commandsGroup('Say who may:');
  addKeys(program, context);
  program.commandsGroup('Clean up:');
  addDelete(program, context);
  return program;
}
