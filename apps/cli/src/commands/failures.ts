import type { Failure, Failures } from '@bullpen/api';
import type { Command } from 'commander';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { batchIdOf, idArgument } from '../newest.ts';
import { wholeNumber } from '../options.ts';
import { countText, itemsText } from '../text/numbers.ts';
import { shortText, table } from '../text/table.ts';

export function addFailures(program: Command, context: Context): void {
  apiCommand(program, 'failures')
    .summary('show why items of a batch failed')
    .description(
      'Lists the failed items of a batch by cause, the most frequent first: how many, which, and what was said.',
    )
    .argument('<id>', idArgument)
    .option('--limit <n>', 'causes at most', wholeNumber(1, 1000), 20)
    .addHelpText(
      'after',
      '\nExamples:\n  pnpm bullpen failures last\n  pnpm bullpen failures last --json | jq ".items[].fingerprint"',
    )
    .action(async (id: string, options: ConnectOptions & { limit: number }) => {
      const client = await connect(context, options);
      const batch = await batchIdOf(client, id);
      const answer = await client.failures(batch, { limit: options.limit });
      if (options.json) printJson(context.stdout, answer);
      else printLines(context.stdout, failureLines(answer, batch));
    });
}

function failureLines({ items, causes }: Failures, batch: string): string[] {
  if (items.length === 0) return ['No item of it has failed.'];
  const left = causes - items.length;
  return [
    ...failureTable(items),
    '',
    ...(left > 0 ? [`${itemsText(left, 'cause')} more: --limit ${Math.min(1000, causes)}`] : []),
    `One of the first: pnpm bullpen results ${batch} --status failed --limit 1`,
  ];
}

const failureTable = (failures: readonly Failure[]): string[] =>
  table<Failure>(
    [
      { title: 'ITEMS', align: 'right', text: ({ count }) => countText(count) },
      { title: 'FIRST', align: 'right', text: ({ firstIndex }) => String(firstIndex) },
      { title: 'LAST', align: 'right', text: ({ lastIndex }) => String(lastIndex) },
      { title: 'CODE', text: ({ code }) => shortText(code, 24) },
      { title: 'MESSAGE', text: ({ message }) => shortText(message, 100) },
    ],
    failures,
  );
