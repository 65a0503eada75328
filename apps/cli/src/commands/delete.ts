import type { Command } from 'commander';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { batchIdOf, idArgument } from '../newest.ts';

export function addDelete(program: Command, context: Context): void {
  apiCommand(program, 'delete')
    .summary('delete a batch that has ended')
    .description(
      'Deletes a completed or cancelled batch with its results, at once and for ever. Its space comes back within seconds.',
    )
    .argument('<id>', idArgument)
    .addHelpText('after', '\nExamples:\n  pnpm bullpen delete 0198c3a4-…\n  pnpm bullpen delete last --json')
    .action(async (id: string, options: ConnectOptions) => {
      const client = await connect(context, options);
      const batch = await batchIdOf(client, id);
      await client.deleteBatch(batch);
      if (options.json) printJson(context.stdout, { batchId: batch, deleted: true });
      else printLines(context.stdout, [`Deleted: batch ${batch}.`]);
    });
}
