import type { Command } from 'commander';
import type { WorkerAnswer } from '@bullpen/api';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { agoText, countText, durationText, rangesText, rateText } from '../text/numbers.ts';
import { shortText, table } from '../text/table.ts';

export function addWorkers(program: Command, context: Context): void {
  apiCommand(program, 'workers')
    .summary('list the live workers')
    .description('Lists the live workers: where they run, what they own or whom they help, how fast they are.')
    .addHelpText('after', '\nExamples:\n  pnpm bullpen workers\n  pnpm bullpen workers --json | jq ".items | length"')
    .action(async (options: ConnectOptions) => {
      const answer = await (await connect(context, options)).workers();
      if (options.json) printJson(context.stdout, answer);
      else if (answer.items.length === 0) printLines(context.stdout, ['No worker runs. Start one: pnpm worker']);
      else printLines(context.stdout, [...workerTable(answer.items, Date.now()), ...idleLines(answer.items)]);
    });
}

/** `0-3`, `0-3 (pins 0-3)`, `0-3 (unpinned: host-7 has 0-3)`, `helps host-7`, or `idle`. */
function partitionsText(
  { partitions, pins, pinsHeldBy, helping, idle }: WorkerAnswer,
  workers: readonly WorkerAnswer[],
): string {
  if (helping !== null) return `helps ${workers.find(({ id }) => id === helping)?.name ?? 'one that is gone'}`;
  if (partitions.length === 0 && idle !== null) return 'idle';
  if (pins === null) return rangesText(partitions);
  const held = pinsHeldBy === null ? `pins ${rangesText(pins)}` : `unpinned: ${pinsHeldBy} has ${rangesText(pins)}`;
  return `${rangesText(partitions)} (${held})`;
}

const idleLines = (workers: readonly WorkerAnswer[]): string[] =>
  workers.flatMap(({ name, idle }) => (idle === null ? [] : [`${name} is idle: ${idle}`]));

const workerTable = (workers: readonly WorkerAnswer[], nowMs: number): string[] =>
  table<WorkerAnswer>(
    [
      { title: 'WORKER', text: ({ name, draining }) => (draining ? `${name} (draining)` : name) },
      { title: 'HOST', text: ({ host, pid }) => `${shortText(host, 30)}:${pid}` },
      {
        title: 'UP',
        align: 'right',
        text: ({ startedAt }) => durationText(Math.max(0, nowMs - Date.parse(startedAt))),
      },
      { title: 'SEEN', align: 'right', text: ({ heartbeatAt }) => agoText(heartbeatAt, nowMs) },
      { title: 'CONCURRENCY', align: 'right', text: ({ concurrency }) => countText(concurrency) },
      { title: 'CHUNKS', align: 'right', text: ({ chunksInFlight }) => countText(chunksInFlight) },
      { title: 'PARTITIONS', text: (worker) => partitionsText(worker, workers) },
      { title: 'ITEMS DONE', align: 'right', text: ({ itemsDone }) => countText(itemsDone) },
      { title: 'ITEMS/S', align: 'right', text: ({ itemsPerSecond }) => rateText(itemsPerSecond) },
      {
        title: 'REDIS/PG MS',
        align: 'right',
        text: ({ roundTripMs }) => `${roundTripMs.redis?.toFixed(1) ?? '–'}/${roundTripMs.postgres.toFixed(1)}`,
      },
    ],
    workers,
  );
