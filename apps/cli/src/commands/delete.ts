import { ApiError, type Client } from '@bullpen/api';
import type { Command } from 'commander';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { exitCode, Failure } from '../failure.ts';
import { itemsText } from '../text/numbers.ts';

export function addDelete(program: Command, context: Context): void {
  apiCommand(program, 'delete')
    .summary('delete a batch that has ended')
    .description(
      'Deletes a completed or cancelled batch with its results, at once and for ever. Its space comes back within seconds.',
    )
    .argument('<id>', 'the batch; not last, which is another one the next time')
    .addHelpText('after', '\nExamples:\n  pnpm bullpen delete 0198c3a4-…\n  pnpm bullpen delete 0198c3a4-… --json')
    .action(async (id: string, options: ConnectOptions) => {
      if (id === 'last')
        throw new Failure(
          'Give the id: last is another batch once this one is gone (pnpm bullpen list)',
          exitCode.usage,
        );
      const client = await connect(context, options);
      const what = await whatItIs(client, id);
      await client.deleteBatch(id);
      if (options.json) printJson(context.stdout, { batchId: id, deleted: true });
      else printLines(context.stdout, [`Deleted: batch ${id}${what}.`]);
    });
}

/** Nothing of one that is gone: to delete it again is no mistake while its rest is cleared away. */
async function whatItIs(client: Client, id: string): Promise<string> {
  try {
    const { handler, counts } = await client.getBatch(id);
    return `, ${itemsText(counts.total)} of ${handler}`;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return '';
    throw error;
  }
}
