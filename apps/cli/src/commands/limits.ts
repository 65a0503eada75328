import type { BatchChange, HandlerLimits } from '@bullpen/api';
import type { Command } from 'commander';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { exitCode, Failure } from '../failure.ts';
import { batchIdOf, idArgument } from '../newest.ts';
import { part, wholeNumber } from '../options.ts';
import { orNone, rate, type Rate, rateText } from '../rates.ts';
import { batchFacts } from '../text/batch.ts';

interface LimitOptions extends ConnectOptions {
  rateLimit?: Rate | 'none';
  concurrency?: number | 'none';
}

interface SetOptions extends LimitOptions {
  name?: string;
  cost?: number;
  priority?: number;
  weight?: number;
  maxFailures?: number | 'none';
  maxFailureRate?: number | 'none';
}

const addLimitOptions = (command: Command): Command =>
  command
    .option('--rate-limit <rate>', 'items that may start: 50/s, 3000/m, 1/h, 100/250ms, or none', orNone(rate))
    .option(
      '--concurrency <n>',
      'items in handlers at once over all workers, or none',
      orNone(wholeNumber(1, 100_000)),
    );

export function addLimits(program: Command, context: Context): void {
  addLimitOptions(
    apiCommand(program, 'limits')
      .summary('show or set what all batches of a handler together may do')
      .description(
        'Shows what all batches of a handler together are limited to, or sets it; what is not named stays as it is. It acts within 2 s.',
      )
      .argument('<handler>', 'its name (pnpm bullpen handlers)'),
  )
    .addHelpText(
      'after',
      '\nExamples:\n  pnpm bullpen limits import-user\n  pnpm bullpen limits import-user --rate-limit 50/s --concurrency 10\n  pnpm bullpen limits import-user --rate-limit none',
    )
    .action(async (handler: string, options: LimitOptions) => {
      const limits = await limitHandler(context, handler, options);
      if (options.json) printJson(context.stdout, limits);
      else printLines(context.stdout, [`${handler}: ${limitsText(limits)}`]);
    });
}

async function limitHandler(context: Context, name: string, options: LimitOptions): Promise<HandlerLimits> {
  const client = await connect(context, options);
  const known = (await client.handlers()).items.find((handler) => handler.name === name);
  if (known === undefined) throw new Failure(`There is no handler ${name} (pnpm bullpen handlers)`);
  const rateLimit = valueOf(options.rateLimit ?? known.limits.rateLimit);
  const concurrency = valueOf(options.concurrency ?? known.limits.concurrency);
  const isAsked = options.rateLimit !== undefined || options.concurrency !== undefined;
  return isAsked ? client.limitHandler(name, { rateLimit, concurrency }) : known.limits;
}

const valueOf = <Value>(given: Value | 'none'): Value | null => (given === 'none' ? null : given);

const limitsText = ({ rateLimit, concurrency }: HandlerLimits): string =>
  [
    ...(rateLimit === null ? [] : [rateText(rateLimit)]),
    ...(concurrency === null ? [] : [`${concurrency} at once`]),
  ].join(', ') || 'not limited';

export function addSet(program: Command, context: Context): void {
  addLimitOptions(
    apiCommand(program, 'set')
      .summary('change a batch that has not ended: its name, its limits, its share')
      .description('Changes a batch while it runs or is paused; what is not named stays as it is. It acts within 2 s.')
      .argument('<id>', idArgument),
  )
    .option('--name <name>', 'what the batch is called in lists')
    .option('--cost <n>', 'slots of the rate limit that one item takes', wholeNumber(1, 1000))
    .option('--priority <n>', 'each step puts it a million items behind others', wholeNumber(0, 9))
    .option('--weight <n>', 'its share beside other batches', wholeNumber(1, 100))
    .option(
      '--max-failures <n>',
      'pauses when so many items have failed, or none',
      orNone(wholeNumber(1, 1_000_000_000)),
    )
    .option('--max-failure-rate <part>', 'pauses when more than this part has failed: 0.05, 5%, or none', orNone(part))
    .addHelpText(
      'after',
      '\nExamples:\n  pnpm bullpen set last --rate-limit 500/s\n  pnpm bullpen set 0198c3a4-… --rate-limit none --concurrency 20\n  pnpm bullpen set last --weight 10 --name "nightly, slowly"',
    )
    .action(async (id: string, options: SetOptions) => {
      const client = await connect(context, options);
      const batchId = await batchIdOf(client, id);
      const change = await changeOf(options, async () => (await client.getBatch(batchId)).options.rateLimit ?? null);
      const batch = await client.changeBatch(batchId, change);
      if (options.json) printJson(context.stdout, batch);
      else printLines(context.stdout, batchFacts(batch, Date.now()));
    });
}

/** A cost by itself goes with the rate that the batch has. */
async function changeOf(options: SetOptions, rateNow: () => Promise<Rate | null>): Promise<BatchChange> {
  const { name, rateLimit, cost, concurrency, priority, weight, maxFailures, maxFailureRate } = options;
  const asked = [name, rateLimit, cost, concurrency, priority, weight, maxFailures, maxFailureRate];
  const refuse = (line: string): never => {
    throw new Failure(line, exitCode.usage);
  };
  if (asked.every((each) => each === undefined))
    refuse(
      'Say what to change: --name, --rate-limit, --cost, --concurrency, --priority, --weight, --max-failures, --max-failure-rate',
    );
  if (cost !== undefined && rateLimit === 'none')
    refuse('--cost is slots of a rate limit: it cannot be used with none');
  const at = rateLimit === undefined && cost !== undefined ? await rateNow() : rateLimit && valueOf(rateLimit);
  if (cost !== undefined && at == null) refuse('The batch has no rate limit: give --rate-limit with --cost');
  return {
    ...(name !== undefined && { name }),
    options: {
      ...(at !== undefined && { rateLimit: at === null ? null : { ...at, ...(cost !== undefined && { cost }) } }),
      ...(concurrency !== undefined && { concurrency: valueOf(concurrency) }),
      ...(priority !== undefined && { priority }),
      ...(weight !== undefined && { weight }),
      ...(maxFailures !== undefined && { maxFailures: valueOf(maxFailures) }),
      ...(maxFailureRate !== undefined && { maxFailureRate: valueOf(maxFailureRate) }),
    },
  };
}
