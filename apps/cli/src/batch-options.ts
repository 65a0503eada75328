import { optionDefaults, type Options, seedMax } from '@bullpen/api';
import { type Command, Option } from 'commander';
import type { Context } from './context.ts';
import { exitCode, Failure } from './failure.ts';
import { jsonOption, part, startTime, wholeNumber } from './options.ts';
import { rate, type Rate } from './rates.ts';

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
  groupRateLimit?: Rate;
  rateLimit?: Rate;
  cost?: number;
  concurrency?: number;
  maxFailures?: number;
  maxFailureRate?: number;
  canary?: number;
  notBefore?: string;
  keepResults?: 'all' | 'failed';
  dryRun?: boolean;
  webhook?: string;
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
    .option('--priority <n>', 'each step starts it a million items behind others (default: 0)', wholeNumber(0, 9))
    .option('--weight <n>', 'its share beside other batches (default: 1)', wholeNumber(1, 100))
    .option(
      '--group-by <field>',
      'items with the same value there are a group: a field of the input, or a JSON pointer (/order/id)',
    )
    .option('--ordered', 'items of a group run one after another, in the order in which they stand')
    .option('--group-concurrency <n>', 'items of a group that may run at once', wholeNumber(1, 10_000))
    .option('--group-rate-limit <rate>', 'items of a group that may start: 5/s, 100/m', rate)
    .option('--rate-limit <rate>', 'items that may start, over all workers: 50/s, 3000/m, 1/h, 100/250ms', rate)
    .option('--cost <n>', 'slots of the rate limit that one item takes (default: 1)', wholeNumber(1, 1000))
    .option('--concurrency <n>', 'items in handlers at once, over all workers', wholeNumber(1, 100_000))
    .option('--max-failures <n>', 'pauses when so many items have failed', wholeNumber(1, 1_000_000_000))
    .option(
      '--max-failure-rate <part>',
      'pauses when more than this part has failed, from 100 items on: 0.05, 5%',
      part,
    )
    .option(
      '--canary <n>',
      'pauses when its first so many items are done; resume releases the others',
      wholeNumber(1, 1_000_000_000),
    )
    .option(
      '--not-before <time>',
      'nothing of it starts before: 2026-01-31T18:00:00Z, or 90s, 30m, 8h from now',
      startTime,
    )
    .addOption(
      new Option('--keep-results <which>', 'failed: what items return is summed up and not stored').choices([
        'all',
        'failed',
      ]),
    )
    .option('--dry-run', 'run what the handler has in place of its effects, if it has: nothing is called')
    .option('--webhook <url>', 'is told of the completion, signed with the secret in BULLPEN_WEBHOOK_SECRET');

function rateLimitOf({ rateLimit, cost = 1 }: BatchOptions): Options['rateLimit'] {
  if (rateLimit !== undefined) return { ...rateLimit, cost };
  if (cost !== 1) throw new Failure('--cost is slots of a rate limit: give --rate-limit too', exitCode.usage);
  return undefined;
}

/** The secret is taken from the environment: a command line is kept by shells, and shown to all on the machine. */
function webhookFor({ env }: Context, { webhook: url }: BatchOptions): Options['webhook'] {
  if (url === undefined) return undefined;
  const secret = env['BULLPEN_WEBHOOK_SECRET'];
  if (secret) return { url, secret };
  throw new Failure(
    '--webhook needs BULLPEN_WEBHOOK_SECRET: 16 to 200 characters that sign what is sent',
    exitCode.usage,
  );
}

/** All of a submission but its items. The producer checks it, and its words name the place. */
export async function batchHead(context: Context, given: BatchOptions, more: Options = {}) {
  const { handler, name, params, chunkSize, maxAttempts, backoffMs, timeoutMs, seed } = given;
  const { groupBy, ordered, groupConcurrency, groupRateLimit, concurrency, priority, weight, dryRun } = given;
  const place = { priority, weight, groupBy, ordered, groupConcurrency, groupRateLimit };
  const limits = { rateLimit: rateLimitOf(given), concurrency };
  const { maxFailures, maxFailureRate, canary, notBefore, keepResults } = given;
  const brakes = { maxFailures, maxFailureRate, canary, notBefore, keepResults };
  const options: Options = {
    chunkSize,
    maxAttempts,
    backoffMs,
    timeoutMs,
    seed,
    ...place,
    ...limits,
    ...brakes,
    dryRun,
    webhook: webhookFor(context, given),
    ...more,
  };
  return {
    handler,
    name,
    params: params === undefined ? undefined : await jsonOption(context, '--params', params),
    options: Object.values(options).some((value) => value !== undefined) ? options : undefined,
  };
}
