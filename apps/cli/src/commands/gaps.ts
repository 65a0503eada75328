import type { Command } from 'commander';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { exitCode, Failure } from '../failure.ts';
import { countedHeightsMax, planOf, submitPlan } from '../gaps/fill.ts';
import { type Ranges, sizeOf } from '../gaps/ranges.ts';
import { type Survey, surveyChain } from '../gaps/survey.ts';
import { submittedLines, surveyLines } from '../gaps/text.ts';
import { wholeNumber } from '../options.ts';

interface GapsOptions extends ConnectOptions {
  chain: string;
  handler: string;
  from?: number;
  to?: number;
  submit?: boolean;
  most?: number;
  priority?: number;
}

const examples = `
Examples:
  pnpm bullpen gaps --chain example
  pnpm bullpen gaps --chain example --from 0 --to 999999 --json
  pnpm bullpen gaps --chain example --submit                 (behind everything that runs)
  pnpm bullpen gaps --chain example --submit --priority 0

Heights of batches that run or are paused are on their way: they are neither missing nor submitted again.
Dry runs are left out. A batch that keeps failed results only (keepResults) is refused, unless it is a count that is complete.
Exit code 1 when something was missing or doubled, also when it has been submitted now.`;

const height = wholeNumber(0, Number.MAX_SAFE_INTEGER);

export function addGaps(program: Command, context: Context): void {
  apiCommand(program, 'gaps')
    .summary('tell which heights of a chain are missing or doubled')
    .description(
      'Reads all batches of a handler whose params.chain is the same, and tells which heights between the least and the greatest of ' +
        'them have no succeeded result, which have more than one, and which are on their way.',
    )
    .requiredOption('--chain <name>', 'the batches with this params.chain')
    .option('--handler <name>', 'whose batches: inputs {height}, or a count from params.start on', 'index-block')
    .option('--from <height>', 'look from here on (default: the least height of all batches)', height)
    .option('--to <height>', 'look up to here, this one included (default: the greatest)', height)
    .option('--submit', 'submit what is missing, by params and options of the newest of these batches')
    .option(
      '--most <heights>',
      `with --submit: of long ranges so many (default: ${countedHeightsMax}); what is left is told, and the next run takes it`,
      wholeNumber(1, Number.MAX_SAFE_INTEGER),
    )
    .option('--priority <n>', 'with --submit: of the new batches (default: 9)', wholeNumber(0, 9))
    .addHelpText('after', examples)
    .action(async (options: GapsOptions) => context.setExitCode(await gaps(context, options)));
}

async function gaps(context: Context, options: GapsOptions): Promise<number> {
  refuseMix(options);
  const client = await connect(context, options);
  const survey = await surveyChain(client, options);
  const plan = planOf(survey.missing, options.most);
  if (!options.json) printLines(context.stdout, surveyLines(options, survey));
  const { priority = 9, submit } = options;
  const submitted = submit ? await submitPlan(context, client, { plan, survey, priority }) : [];
  const left = submit ? plan.left : 0;
  if (options.json)
    printJson(context.stdout, { ...factsOf(options, survey), submitted: submitted.map(({ id }) => id), left });
  else printLines(context.stdout, submittedLines(submitted, left));
  return survey.missing.length + survey.doubled.length > 0 ? exitCode.failed : exitCode.good;
}

/** What would be ignored is refused. */
function refuseMix({ from = 0, to = Infinity, submit, priority, most }: GapsOptions): void {
  if (from > to) throw new Failure(`--from ${from} is above --to ${to}`, exitCode.usage);
  if (!submit && most !== undefined) throw new Failure('--most needs --submit', exitCode.usage);
  if (!submit && priority !== undefined) throw new Failure('--priority needs --submit', exitCode.usage);
}

/** For scripts: ranges with their first and their last height, all of them. */
function factsOf({ handler, chain }: GapsOptions, survey: Survey) {
  const { batches, bounds, missing, doubled, onTheirWay, single, nameless } = survey;
  const listOf = (ranges: Ranges) => ({ count: sizeOf(ranges), ranges: ranges.map(([from, end]) => [from, end - 1]) });
  const heights = bounds[0] < bounds[1] ? { from: bounds[0], to: bounds[1] - 1 } : { from: null, to: null };
  const lists = { missing: listOf(missing), doubled: listOf(doubled), onTheirWay: listOf(onTheirWay) };
  return { handler, chain, batches, ...heights, single: sizeOf(single), ...lists, nameless };
}
