import type { Command } from 'commander';
import { optionDefaults, seedMax, type Batch, type NewBatchBody } from '@bullpen/api';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { Failure, exitCode } from '../failure.ts';
import { inputsFrom, jsonOption, wholeNumber } from '../options.ts';
import { itemsText } from '../text/numbers.ts';
import { watch } from './watch.ts';

interface SubmitOptions extends ConnectOptions {
  handler: string;
  count?: number;
  inputs?: string;
  params?: string;
  name?: string;
  chunkSize?: number;
  maxAttempts?: number;
  backoffMs?: number;
  timeoutMs?: number;
  seed?: number;
  watch?: boolean;
}

const examples = `
Examples:
  pnpm bullpen submit --handler simulate --count 100000 --watch
  pnpm bullpen submit --handler add --inputs numbers.json
  echo '[{"a": 1, "b": 2}]' | pnpm bullpen submit --handler add -
  pnpm bullpen submit --handler sleep --count 100 --params '{"ms": 50}'
  pnpm bullpen submit --handler simulate --count 100000 --params @examples/simulate/season.json --watch`;

export function addSubmit(program: Command, context: Context): void {
  apiCommand(program, 'submit')
    .summary('submit a batch: --count N items, or those of a JSON file')
    .description(
      'Submits a batch and prints its id. The items are either N times the same (--count) or a JSON array of inputs.',
    )
    .argument('[inputs]', 'the same as --inputs; - reads stdin')
    .requiredOption('--handler <name>', 'what runs the items (pnpm bullpen handlers lists them)')
    .option('--count <n>', 'that many items without an input of their own', wholeNumber(1, 1_000_000_000))
    .option('--inputs <file>', 'JSON array with the input of each item; - reads stdin')
    .option('--params <json>', 'what all items share: JSON, or @file')
    .option('--name <name>', 'what the batch is called in lists')
    .option('--chunk-size <n>', 'items of a chunk', wholeNumber(1, 10_000))
    .option(
      '--max-attempts <n>',
      `how often an item is tried (default: ${optionDefaults.maxAttempts})`,
      wholeNumber(1, 25),
    )
    .option(
      '--backoff-ms <n>',
      `the wait before the second attempt; it doubles (default: ${optionDefaults.backoffMs})`,
      wholeNumber(0, 3_600_000),
    )
    .option(
      '--timeout-ms <n>',
      `how long one attempt of an item may take (default: ${optionDefaults.timeoutMs})`,
      wholeNumber(1, 86_400_000),
    )
    .option('--seed <n>', 'makes the random numbers of handlers repeatable', wholeNumber(0, seedMax))
    .option(
      '--watch',
      'show the progress until it ends: exit code 0 when completed, even with failed items; 1 when cancelled',
    )
    .addHelpText('after', examples)
    .action(async (file: string | undefined, options: SubmitOptions) => {
      context.setExitCode(await submit(context, file === undefined ? options : withFile(options, file)));
    });
}

function withFile(options: SubmitOptions, file: string): SubmitOptions {
  if (options.inputs === undefined) return { ...options, inputs: file };
  throw new Failure(`Give the inputs once: either --inputs ${options.inputs} or ${file}`, exitCode.usage);
}

async function submit(context: Context, options: SubmitOptions): Promise<number> {
  const submission = await submissionOf(context, options);
  const client = await connect(context, options);
  const batch = await client.submit(submission);
  if (options.watch) {
    if (!options.json) printLines(context.stdout, [acceptedText(batch)]);
    return watch(context, client, batch.id, options);
  }
  if (options.json) printJson(context.stdout, batch);
  else printLines(context.stdout, [acceptedText(batch), '', ...nextSteps(batch)]);
  return exitCode.good;
}

/** The producer checks it against the handler's schema, and its words name the place. */
async function submissionOf(context: Context, options: SubmitOptions): Promise<NewBatchBody> {
  const { handler, name, count, inputs, params, chunkSize, maxAttempts, backoffMs, timeoutMs, seed } = options;
  if ((count === undefined) === (inputs === undefined)) {
    throw new Failure('Give either --count N or --inputs FILE (- for stdin)', exitCode.usage);
  }
  const given = { chunkSize, maxAttempts, backoffMs, timeoutMs, seed };
  return {
    handler,
    name,
    count,
    inputs: inputs === undefined ? undefined : await inputsFrom(context, inputs),
    params: params === undefined ? undefined : await jsonOption(context, '--params', params),
    options: Object.values(given).some((value) => value !== undefined) ? given : undefined,
  };
}

const acceptedText = ({ id, handler, counts }: Batch): string =>
  `Accepted: batch ${id}, ${itemsText(counts.total)} for ${handler}.`;

const nextSteps = ({ id }: Batch): string[] => [`  pnpm bullpen watch ${id}`, `  pnpm bullpen results ${id}`];
