import type { Command } from 'commander';
import type { HandlerAnswer } from '@bullpen/api';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { shortText, table } from '../text/table.ts';

export function addHandlers(program: Command, context: Context): void {
  apiCommand(program, 'handlers')
    .summary('list the handlers')
    .description('Lists the handlers that the producer knows; --json adds the JSON schemas of their inputs and params.')
    .addHelpText(
      'after',
      '\nExamples:\n  pnpm bullpen handlers\n  pnpm bullpen handlers --json | jq ".items[] | select(.name == \\"add\\")"',
    )
    .action(async (options: ConnectOptions) => {
      const answer = await (await connect(context, options)).handlers();
      if (options.json) return printJson(context.stdout, answer);
      printLines(
        context.stdout,
        table<HandlerAnswer>(
          [
            { title: 'HANDLER', text: ({ name }) => name },
            { title: 'DOES', text: ({ description }) => shortText(description, 100) },
          ],
          answer.items,
        ),
      );
    });
}
