import { Option, type Command } from 'commander';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { batchIdOf, idArgument } from '../newest.ts';
import { wholeNumber } from '../options.ts';
import { batchFacts, batchTable } from '../text/batch.ts';
import { summaryLines } from '../text/summary.ts';

const states = ['running', 'paused', 'completed', 'cancelled'] as const;

interface ListOptions extends ConnectOptions {
  state?: (typeof states)[number];
  handler?: string;
  limit: number;
}

export function addList(program: Command, context: Context): void {
  apiCommand(program, 'list')
    .summary('list batches, newest first')
    .description('Lists batches, newest first.')
    .addOption(new Option('--state <state>', 'only those in this state').choices(states))
    .option('--handler <name>', 'only those of this handler')
    .option('--limit <n>', 'how many', wholeNumber(1, 1000), 20)
    .addHelpText(
      'after',
      '\nExamples:\n  pnpm bullpen list --state running\n  pnpm bullpen list --handler echo --limit 5 --json',
    )
    .action(async (options: ListOptions) => list(context, options));
}

async function list(context: Context, options: ListOptions): Promise<void> {
  const { state, handler, limit, json } = options;
  const client = await connect(context, options);
  const page = await client.listBatches({ ...(state && { state }), ...(handler && { handler }), limit });
  if (json) return printJson(context.stdout, page);
  if (page.items.length === 0) {
    return printLines(context.stdout, [
      'There is no such batch. Submit one: pnpm bullpen submit --handler echo --count 1000 --watch',
    ]);
  }
  printLines(context.stdout, batchTable(page.items, Date.now()));
  if (page.nextCursor) printLines(context.stdout, ['', `There are more: --limit ${Math.min(1000, limit * 5)}`]);
}

export function addShow(program: Command, context: Context): void {
  apiCommand(program, 'show')
    .summary('show one batch')
    .description('Shows the state, the counts and the summary of one batch.')
    .argument('<id>', idArgument)
    .addHelpText('after', '\nExamples:\n  pnpm bullpen show last\n  pnpm bullpen show 0198c3a4-… --json | jq .counts')
    .action(async (id: string, options: ConnectOptions) => {
      const client = await connect(context, options);
      const batch = await client.getBatch(await batchIdOf(client, id));
      if (options.json) printJson(context.stdout, batch);
      else {
        const summary = summaryLines(batch, context.stdout.columns || 80);
        printLines(context.stdout, [...batchFacts(batch, Date.now()), ...(summary.length > 0 ? ['', ...summary] : [])]);
      }
    });
}
