import { optionDefaults, type Options, seedMax } from '@bullpen/api';
import type { Command } from 'commander';
import type { Context } from './context.ts';
import { jsonOption, wholeNumber } from './options.ts';

/** What a batch is to be, as submit and validate take it. */
export interface BatchOptions {
  handler: string;
  params?: string;
  name?: string;
  chunkSize?: number;
  maxAttempts?: number;
  backoffMs?: number;
  timeoutMs?: number;
  seed?: number;
  priority?: number;
  weight?: number;
  groupBy?: string;
  ordered?: boolean;
  groupConcurrency?: number;
}

export const addBatchOptions = (command: Command): Command =>
  command
    .requiredOption('--handler <name>', 'what runs the items (pnpm bullpen handlers lists them)')
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
    .option('--priority <n>', 'which batch goes first, 0 before 9 (default: 0)', wholeNumber(0, 9))
    .option('--weight <n>', 'its share beside other batches (default: 1)', wholeNumber(1, 100))
    .option(
      '--group-by <field>',
      'items with the same value there are a group: a field of the input, or a JSON pointer (/order/id)',
    )
    .option('--ordered', 'items of a group run one after another, in the order in which they stand')
    .option('--group-concurrency <n>', 'items of a group that may run at once', wholeNumber(1, 10_000));

/** All of a submission but its items. The producer checks it, and its words name the place. */
export async function batchHead(context: Context, given: BatchOptions, more: Options = {}) {
  const { handler, name, params, chunkSize, maxAttempts, backoffMs, timeoutMs, seed } = given;
  const { groupBy, ordered, groupConcurrency, priority, weight } = given;
  const place = { priority, weight, groupBy, ordered, groupConcurrency };
  const options: Options = { chunkSize, maxAttempts, backoffMs, timeoutMs, seed, ...place, ...more };
  return {
    handler,
    name,
    params: params === undefined ? undefined : await jsonOption(context, '--params', params),
    options: Object.values(options).some((value) => value !== undefined) ? options : undefined,
  };
}
