import type { Command } from 'commander';
import type { HandlerAnswer } from '@bullpen/api';
import { readSettings } from '@bullpen/runtime';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { shortText, table } from '../text/table.ts';

export function addHandlers(program: Command, context: Context): void {
  apiCommand(program, 'handlers')
    .summary('list the handlers')
    .description('Lists the handlers that the producer knows; --json adds the JSON schemas of their inputs and params.')
    .addHelpText(
      'after',
      '\nExamples:\n  pnpm bullpen handlers\n  pnpm bullpen handlers --local\n  pnpm bullpen handlers --json | jq ".items[] | select(.name == \\"add\\")"',
    )
    .option('--local', 'load those in the folders of HANDLERS here, as a worker would: no producer is asked')
    .action(async (options: ConnectOptions & { local?: boolean }) => {
      const items = options.local
        ? await loadLocal(context)
        : (await (await connect(context, options)).handlers()).items;
      if (options.json) printJson(context.stdout, { items });
      else printLines(context.stdout, handlerTable(items));
    });
}

type Described = Pick<HandlerAnswer, 'name' | 'description' | 'dryRun'>;

const handlerTable = (items: readonly Described[]): string[] =>
  table<Described>(
    [
      { title: 'HANDLER', text: ({ name }) => name },
      { title: 'DRY RUN', text: ({ dryRun }) => (dryRun ? 'yes' : '') },
      { title: 'DOES', text: ({ description }) => shortText(description, 100) },
    ],
    items,
  );

/** A file that cannot be loaded, or is no handler, ends this with 78 and its place. */
async function loadLocal({ env }: Context): Promise<Described[]> {
  const { loadHandlers } = await import('@bullpen/handlers');
  const catalog = await loadHandlers(readSettings(env).handlers.split(','));
  return [...catalog.values()].map(({ name, description, dryRun }) => ({
    name,
    description,
    dryRun: dryRun !== undefined,
  }));
}
