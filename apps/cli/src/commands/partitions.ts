import type { Command } from 'commander';
import type { PartitionAnswer } from '@bullpen/api';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { agoText, countText, durationText } from '../text/numbers.ts';
import { table } from '../text/table.ts';

export function addPartitions(program: Command, context: Context): void {
  apiCommand(program, 'partitions')
    .summary('list the partitions')
    .description('Lists the partition queues: who owns each since when, who helps, and what stands in it.')
    .addHelpText(
      'after',
      '\nExamples:\n  pnpm bullpen partitions\n  pnpm bullpen partitions --json | jq ".items[] | select(.owner == null)"',
    )
    .action(async (options: ConnectOptions) => {
      const answer = await (await connect(context, options)).partitions();
      if (options.json) printJson(context.stdout, answer);
      else printLines(context.stdout, partitionTable(answer.items, Date.now()));
    });
}

const partitionTable = (partitions: readonly PartitionAnswer[], nowMs: number): string[] =>
  table<PartitionAnswer>(
    [
      { title: 'PARTITION', align: 'right', text: ({ partition }) => String(partition) },
      { title: 'OWNER', text: ownerText },
      { title: 'SINCE', align: 'right', text: ({ takenAt }) => (takenAt === null ? '–' : agoText(takenAt, nowMs)) },
      { title: 'EPOCH', align: 'right', text: ({ epoch }) => countText(epoch) },
      { title: 'QUEUED', align: 'right', text: ({ backlog }) => countText(backlog) },
      { title: 'RUNNING', align: 'right', text: ({ running }) => countText(running) },
      { title: 'OLDEST', align: 'right', text: ({ oldestMs }) => (oldestMs === null ? '–' : durationText(oldestMs)) },
      { title: 'HELPERS', text: ({ helpers }) => helpers.join(', ') || '–' },
    ],
    partitions,
  );

/** Also whom it waits for, where that is not its owner. */
function ownerText({ ownerName, pinnedTo, reserved }: PartitionAnswer): string {
  if (ownerName === null && reserved) return '– (kept for a pinned worker that is away)';
  const owner = ownerName ?? '–';
  return pinnedTo === null || pinnedTo === ownerName ? owner : `${owner} (goes to ${pinnedTo})`;
}
