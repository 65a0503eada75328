import { type Batch, type Client, retrySchema } from '@bullpen/api';
import { type Command, InvalidArgumentError } from 'commander';
import { doneOf } from '../batch.ts';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { batchIdOf, idArgument } from '../newest.ts';
import { countText, itemsText } from '../text/numbers.ts';

interface Control<Options extends ConnectOptions> {
  summary: string;
  description: string;
  examples: string[];
  call: (client: Client, id: string, options: Options) => Promise<Batch>;
  told: (batch: Batch) => string;
}

/** `cancel`, `pause`, `resume` and `retry`. */
export function addControl(program: Command, context: Context): void {
  addOne(program, context, 'cancel', {
    summary: 'stop a batch for good',
    description:
      'Stops a batch for good: nothing of it starts any more within 2 s, what was done stays, and the rest counts as cancelled.',
    examples: ['pnpm bullpen cancel last', 'pnpm bullpen cancel 0198c3a4-… --json | jq .counts'],
    call: (client, id) => client.cancelBatch(id),
    told: ({ id, counts }) =>
      `Cancelled: batch ${id}, ${countText(counts.succeeded)} succeeded, ${countText(counts.failed)} failed, ${countText(counts.cancelled)} not run.`,
  });
  addOne(program, context, 'pause', {
    summary: 'stop a batch until it is resumed',
    description: 'Lets nothing more of a batch start, within 2 s, until it is resumed. What runs is stored.',
    examples: ['pnpm bullpen pause last'],
    call: (client, id) => client.pauseBatch(id),
    told: (batch) => `Paused: batch ${batch.id} at ${doneText(batch)}. To go on: pnpm bullpen resume ${batch.id}`,
  });
  addOne(program, context, 'resume', {
    summary: 'let a paused batch go on',
    description: 'Lets a paused batch go on, whatever paused it.',
    examples: ['pnpm bullpen resume last'],
    call: (client, id) => client.resumeBatch(id),
    told: (batch) => `${batch.state === 'completed' ? 'Completed' : 'Runs'}: batch ${batch.id} at ${doneText(batch)}.`,
  });
  addOne<ConnectOptions & { fingerprint?: string }>(program, context, 'retry', {
    summary: 'run the failed items of a batch again',
    description:
      'Runs the failed items of a batch again, with all their attempts; those of one cause with --fingerprint. A completed batch runs again.',
    examples: [
      'pnpm bullpen failures last',
      'pnpm bullpen retry last',
      'pnpm bullpen retry last --fingerprint 0f6a1c2b3d4e',
    ],
    call: (client, id, { fingerprint }) => client.retryBatch(id, fingerprint === undefined ? {} : { fingerprint }),
    told: (batch) =>
      `Batch ${batch.id} is ${batch.state}: ${doneText(batch)}, ${countText(batch.counts.failed)} failed.`,
  }).option('--fingerprint <fingerprint>', 'only those of this cause (pnpm bullpen failures)', fingerprint);
}

function addOne<Options extends ConnectOptions>(
  program: Command,
  context: Context,
  name: string,
  { summary, description, examples, call, told }: Control<Options>,
): Command {
  return apiCommand(program, name)
    .summary(summary)
    .description(description)
    .argument('<id>', idArgument)
    .addHelpText('after', ['\nExamples:', ...examples.map((each) => `  ${each}`)].join('\n'))
    .action(async (id: string, options: Options) => {
      const client = await connect(context, options);
      const batch = await call(client, await batchIdOf(client, id), options);
      if (options.json) printJson(context.stdout, batch);
      else printLines(context.stdout, [told(batch)]);
    });
}

const doneText = (batch: Batch): string => `${countText(doneOf(batch))} of ${itemsText(batch.counts.total)} done`;

function fingerprint(text: string): string {
  if (retrySchema.safeParse({ fingerprint: text }).success) return text;
  throw new InvalidArgumentError('It is twelve hex digits: pnpm bullpen failures tells them.');
}
