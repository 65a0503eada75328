import { Option, type Command } from 'commander';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printLines, type Context } from '../context.ts';
import { batchIdOf, idArgument } from '../newest.ts';
import { wholeNumber } from '../options.ts';
import { writeLines } from '../write-lines.ts';

const statuses = ['succeeded', 'failed'] as const;

interface ResultsOptions extends ConnectOptions {
  status?: (typeof statuses)[number];
  limit?: number;
}

const examples = `
Examples:
  pnpm bullpen results last | head -3
  pnpm bullpen results 0198c3a4-… > results.ndjson
  pnpm bullpen results 0198c3a4-… --status failed --limit 10`;

export function addResults(program: Command, context: Context): void {
  apiCommand(program, 'results')
    .summary('print the results of a batch, one JSON line each')
    .description(
      'Streams the results in index order to stdout, one JSON line each. Of a batch that still runs, those that are there: ' +
        'stderr says so, and with --json a last line {"complete": false}.',
    )
    .argument('<id>', idArgument)
    .addOption(new Option('--status <status>', 'only these').choices(statuses))
    .option('--limit <n>', 'at most that many', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .addHelpText('after', examples)
    .action((id: string, options: ResultsOptions) => results(context, id, options));
}

async function results(context: Context, id: string, options: ResultsOptions): Promise<void> {
  const { status, limit = Infinity, json } = options;
  const client = await connect(context, options);
  const batch = await batchIdOf(client, id);
  let incomplete = false;
  const lines = async function* (): AsyncGenerator<string> {
    let count = 0;
    for await (const line of client.resultLines(batch, status ? { status } : {})) {
      if (isTrailer(line)) {
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
  if (incomplete && written && !json)
    printLines(context.stderr, ['The batch still runs: these are the results so far.']);
}

/** The line by which a stream says that results are still to come. A result has an index. */
function isTrailer(line: string): boolean {
  if (!line.includes('"complete"') || line.length > 100) return false;
  const value: unknown = JSON.parse(line);
  return typeof value === 'object' && value !== null && 'complete' in value && !('index' in value);
}
