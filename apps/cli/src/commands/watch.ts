import type { Command } from 'commander';
import type { Batch, Client } from '@bullpen/api';
import { isOver } from '../batch.ts';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { exitCode } from '../failure.ts';
import { batchIdOf, idArgument } from '../newest.ts';
import { listenForStop } from '../processes/signals.ts';
import { openDisplay } from '../progress/display.ts';
import { batchLine } from '../progress/line.ts';
import { followBatch } from '../progress/follow.ts';
import { endText } from '../text/batch.ts';
import { summaryLines } from '../text/summary.ts';

export function addWatch(program: Command, context: Context): void {
  apiCommand(program, 'watch')
    .summary('show the progress of a batch until it ends')
    .description(
      'Shows the progress on stderr until the batch ends. Exit code 0 when completed, even with failed items; 1 when cancelled.',
    )
    .argument('<id>', idArgument)
    .addHelpText('after', '\nExamples:\n  pnpm bullpen watch last\n  pnpm bullpen watch 0198c3a4-… --json | jq .counts')
    .action(async (id: string, options: ConnectOptions) => {
      const client = await connect(context, options);
      context.setExitCode(await watch(context, client, await batchIdOf(client, id), options));
    });
}

/** Ctrl-C leaves the batch running and says so. */
export async function watch(context: Context, client: Client, id: string, { json }: ConnectOptions): Promise<number> {
  // Asked first, so that a wrong id is told before a bar is drawn.
  const first = await client.getBatch(id);
  const stop = listenForStop(() => process.exit(exitCode.interrupted));
  const over = new AbortController();
  void stop.asked.then(() => over.abort());
  try {
    const batch = isOver(first)
      ? first
      : await followBatch(client, id, openDisplay(context.stderr, batchLine), over.signal);
    if (json) printJson(context.stdout, batch);
    else printLines(context.stdout, endLines(batch, context.stdout.columns || 80));
    return batch.state === 'completed' ? exitCode.good : exitCode.failed;
  } catch (error) {
    if (!stop.isAsked()) throw error;
    printLines(context.stderr, [`The batch goes on. Watch it again: pnpm bullpen watch ${id}`]);
    return exitCode.interrupted;
  } finally {
    stop.dispose();
  }
}

const endLines = (batch: Batch, columns: number): string[] => {
  const summary = summaryLines(batch, columns);
  return [
    endText(batch),
    ...(batch.counts.failed > 0 ? [failuresHint(batch.id)] : []),
    ...(summary.length > 0 ? ['', ...summary] : []),
  ];
};

const failuresHint = (id: string): string => `See why: pnpm bullpen failures ${id}`;
