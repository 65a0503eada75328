import { Option, type Command } from 'commander';
import { type Client, indexMax, type Result } from '@bullpen/api';
import { isOver } from '../batch.ts';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printLines, type Context } from '../context.ts';
import { exitCode, Failure } from '../failure.ts';
import { batchIdOf, idArgument } from '../newest.ts';
import { wholeNumber } from '../options.ts';
import { writeBytes, writeLines } from '../write-lines.ts';

const statuses = ['succeeded', 'failed'] as const;

interface ResultsOptions extends ConnectOptions {
  status?: (typeof statuses)[number];
  item?: number;
  after?: number;
  limit?: number;
  inputs?: boolean;
  csv?: boolean;
  inputsOnly?: boolean;
  escapeFormulas?: boolean;
}

const examples = `
Examples:
  pnpm bullpen results last | head -3
  pnpm bullpen results 0198c3a4-… > results.ndjson
  pnpm bullpen results 0198c3a4-… --item 17
  pnpm bullpen results 0198c3a4-… --after 41999 >> results.ndjson     (goes on after item 41999)
  pnpm bullpen results 0198c3a4-… --status failed --limit 10
  pnpm bullpen results 0198c3a4-… --csv --inputs --escape-formulas > results.csv     (for a spreadsheet)
  pnpm bullpen results 0198c3a4-… --csv --status failed --inputs-only > again.csv     (to be corrected and submitted again)
  pnpm bullpen results 0198c3a4-… --status failed --inputs-only > again.ndjson     (the same of a batch that was no CSV)`;

export function addResults(program: Command, context: Context): void {
  apiCommand(program, 'results')
    .summary('print the results of a batch, one JSON line each, or as CSV')
    .description(
      'Streams the results in index order to stdout, one JSON line each. Of a batch that still runs, those that are there: ' +
        'stderr says so, and with --json a last line {"complete": false}.',
    )
    .argument('<id>', idArgument)
    .addOption(new Option('--status <status>', 'only these').choices(statuses))
    .option('--item <index>', 'only that of this item; exit code 1 while there is none', wholeNumber(0, indexMax))
    .option('--after <index>', 'only those of later items', wholeNumber(0, indexMax))
    .option('--limit <n>', 'at most that many', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('--inputs', 'each with its input')
    .option('--csv', 'as CSV with a header')
    .option('--inputs-only', 'nothing but the inputs, as they can be submitted again')
    .option('--escape-formulas', 'with --csv: cells that a spreadsheet would calculate are made text')
    .addHelpText('after', examples)
    .action(async (id: string, options: ResultsOptions) => {
      refuseMix(options);
      const client = await connect(context, options);
      const batch = await batchIdOf(client, id);
      if (options.item !== undefined) return printOne(context, await client.result(batch, options.item));
      const isWhole = options.csv
        ? await printCsv(context, client, batch, options)
        : await printResultLines(context, client, batch, options);
      if (!isWhole) printLines(context.stderr, ['The batch still runs: these are the results so far.']);
    });
}

const printOne = (context: Context, result: Result): void => {
  context.stdout.write(`${JSON.stringify(result)}\n`);
};

/** What would be ignored is refused. */
function refuseMix(options: ResultsOptions): void {
  const { item, status, after, limit, inputs, inputsOnly, csv } = options;
  const range = [status, after, limit, inputs, inputsOnly, csv];
  if (item !== undefined && range.some((each) => each !== undefined))
    throw new Failure(
      '--item is one result: it cannot be used with --status, --after, --limit, --inputs or --csv',
      exitCode.usage,
    );
  refuseForms(options);
}

function refuseForms({ csv, json, limit, inputs, inputsOnly, escapeFormulas }: ResultsOptions): void {
  const faults = [
    csv && json && '--json cannot be used with --csv: it is the one or the other',
    csv && limit !== undefined && '--limit cannot be used with --csv',
    inputs && inputsOnly && '--inputs cannot be used with --inputs-only: it is the one or the other',
    !csv && escapeFormulas && '--escape-formulas needs --csv',
  ];
  const fault = faults.find((each) => typeof each === 'string');
  if (fault !== undefined) throw new Failure(fault, exitCode.usage);
}

/** False when the batch still runs and the reader of stdout has not been told. */
async function printCsv(context: Context, client: Client, id: string, options: ResultsOptions): Promise<boolean> {
  const { status, after, inputs, inputsOnly, escapeFormulas } = options;
  const { complete, bytes } = await client.resultCsv(id, {
    status,
    after,
    inputs: inputsOnly ? 'only' : inputs,
    escapeFormulas,
  });
  return !(await writeBytes(context.stdout, bytes)) || complete;
}

/** The same of JSON lines, of which with `--json` the last one tells. */
async function printResultLines(
  context: Context,
  client: Client,
  id: string,
  { status, after, inputs, inputsOnly, limit = Infinity, json }: ResultsOptions,
): Promise<boolean> {
  // Inputs alone have no last line that tells.
  let incomplete = inputsOnly === true && !isOver(await client.getBatch(id));
  const lines = async function* (): AsyncGenerator<string> {
    let count = 0;
    for await (const line of client.resultLines(id, { status, after, inputs: inputsOnly ? 'only' : inputs })) {
      if (!inputsOnly && isTrailer(line)) {
        incomplete = true;
        if (json) yield line;
        return;
      }
      yield line;
      count += 1;
      if (count >= limit) return;
    }
  };
  const written = await writeLines(context.stdout, lines());
  return !incomplete || !written || (json === true && !inputsOnly);
}

/** The line by which a stream says that results are still to come. A result has an index. */
function isTrailer(line: string): boolean {
  if (!line.includes('"complete"') || line.length > 100) return false;
  const value: unknown = JSON.parse(line);
  return typeof value === 'object' && value !== null && 'complete' in value && !('index' in value);
}
