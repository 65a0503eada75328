import { type Command, Option } from 'commander';
import type { Batch, Client } from '@bullpen/api';
import { addBatchOptions, batchHead, type BatchOptions } from '../batch-options.ts';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { Failure, exitCode } from '../failure.ts';
import { asLines, readArray } from '../input/array.ts';
import { findSource, type Form, formatOption, type Source } from '../input/source.ts';
import { toldOf } from '../input/told.ts';
import { wholeNumber } from '../options.ts';
import { openUpload, silentUpload } from '../progress/upload.ts';
import { idempotencyKey, newKey, sendUnderKey } from '../sending.ts';
import { itemsText } from '../text/numbers.ts';
import { watch } from './watch.ts';

interface SubmitOptions extends ConnectOptions, BatchOptions {
  count?: number;
  inputs?: string;
  format?: Form;
  onInvalid?: 'refuse' | 'skip';
  open?: boolean;
  key?: string;
  watch?: boolean;
}

const examples = `
Examples:
  pnpm bullpen submit --handler simulate --count 100000 --watch
  pnpm bullpen submit numbers.ndjson --handler add                     (also .jsonl, .csv, each also with .gz, and .json)
  pnpm bullpen submit numbers.csv.gz --handler add --on-invalid skip --watch
  zcat logs.gz | pnpm bullpen submit - --format ndjson --handler echo
  pnpm bullpen submit orders.csv --handler echo --group-by customer --ordered
  pnpm bullpen submit calls.ndjson --handler echo --group-by /account/id --group-concurrency 4
  echo '[{"a": 1, "b": 2}]' | pnpm bullpen submit --handler add -
  pnpm bullpen submit --handler add --open                             (then append and close)
  pnpm bullpen submit --handler echo --open --group-by user --ordered  (a stream, in order for each user)
  pnpm bullpen submit --handler sleep --count 100 --params '{"ms": 50}' --concurrency 3
  pnpm bullpen submit users.csv --handler import-user --params '{"api": "http://127.0.0.1:4000"}' --rate-limit 50/s
  pnpm bullpen submit users.csv --handler import-user --params '{"api": "http://127.0.0.1:4000"}' --dry-run --watch
  BULLPEN_WEBHOOK_SECRET=$(cat secret) pnpm bullpen submit numbers.csv --handler add --webhook https://example.org/done
  pnpm bullpen submit --handler simulate --count 100000 --params @examples/simulate/season.json --watch`;

export function addSubmit(program: Command, context: Context): void {
  addBatchOptions(
    apiCommand(program, 'submit')
      .summary('submit a batch: --count N items, or those of a file')
      .description(
        'Submits a batch and prints its id. The items are either N times the same (--count), or stand in a file: NDJSON or CSV ' +
          'of any length, a line each, or a JSON array. A file is sent again when the connection breaks, and is taken once.',
      )
      .argument('[file]', '.ndjson, .jsonl, .csv, each also with .gz, or .json; - reads stdin'),
  )
    .option('--count <n>', 'that many items without an input of their own', wholeNumber(1, 1_000_000_000))
    .option('--inputs <file>', 'the same as the argument, but a JSON array where the name does not say it')
    .addOption(formatOption())
    .addOption(
      new Option('--on-invalid <what>', 'of lines that cannot be taken: refuse all, or let these fail').choices([
        'refuse',
        'skip',
      ]),
    )
    .option('--open', 'the batch takes more items (append) until it is closed (close)')
    .option('--key <key>', 'Idempotency-Key: what is submitted again under it is taken once', idempotencyKey)
    .option(
      '--watch',
      'show the progress until it ends: exit code 0 when completed, even with failed items; 1 when cancelled',
    )
    .addHelpText('after', examples)
    .action(async (file: string | undefined, options: SubmitOptions) => {
      context.setExitCode(await submit(context, file, options));
    });
}

async function submit(context: Context, file: string | undefined, options: SubmitOptions): Promise<number> {
  refuseMix(file, options);
  const { count, format } = options;
  const path = file ?? options.inputs;
  const otherwise = path === '-' || file === undefined ? 'json' : undefined;
  const source = path === undefined ? null : await findSource(context, path, { format, otherwise });
  const client = await connect(context, options);
  const batch =
    source !== null && (source.form !== 'json' || options.onInvalid !== undefined)
      ? await submitLines(context, client, source, options)
      : await submitJson(context, client, source === null ? { count } : { inputs: await readArray(source) }, options);
  if (options.watch) {
    if (!options.json) printLines(context.stdout, [acceptedText(batch)]);
    return watch(context, client, batch.id, options);
  }
  if (options.json) printJson(context.stdout, batch);
  else printLines(context.stdout, [acceptedText(batch), '', ...nextSteps(batch)]);
  return exitCode.good;
}

/** What would be ignored is refused. */
function refuseMix(file: string | undefined, { count, inputs, open, format, onInvalid }: SubmitOptions): void {
  const refuse = (line: string): never => {
    throw new Failure(line, exitCode.usage);
  };
  if (file !== undefined && inputs !== undefined) refuse(`Give the inputs once: either --inputs ${inputs} or ${file}`);
  const hasInputs = file !== undefined || inputs !== undefined;
  if (open && count !== undefined)
    refuse('--open cannot be used with --count: an open batch takes its items by append');
  if (hasInputs ? count !== undefined : count === undefined && !open)
    refuse('Give either --count N or a file, also as --inputs FILE (- for stdin)');
  if (!hasInputs && format !== undefined) refuse('--format needs a file');
  if (!hasInputs && onInvalid !== undefined) refuse('--on-invalid needs a file');
}

/** It is in memory, so that it can be sent again, wherever it came from. */
async function submitJson(
  context: Context,
  client: Client,
  items: { count?: number | undefined; inputs?: unknown[] },
  options: SubmitOptions,
): Promise<Batch> {
  const { key = newKey(), open } = options;
  const body = { ...(await batchHead(context, options, { open })), ...items };
  return sendUnderKey(context, { key, repeatable: true }, (signal) => client.submit(body, { key, signal }));
}

async function submitLines(context: Context, client: Client, given: Source, options: SubmitOptions): Promise<Batch> {
  const { key = newKey(), open, onInvalid, json } = options;
  const head = await batchHead(context, options, { open, onInvalid });
  const source = await asLines(given);
  const { form, gzip, repeatable } = source;
  return sendUnderKey(context, { key, repeatable }, async (signal) => {
    const upload = json ? silentUpload : openUpload(context.stderr, source.size);
    try {
      return await client.submitStream({ ...head, form, gzip, body: upload.count(source.open()), key, signal });
    } catch (error) {
      throw toldOf(error, { linesBefore: 0, isArray: given.form === 'json' });
    } finally {
      upload.close();
    }
  });
}

const acceptedText = ({ id, handler, counts }: Batch): string =>
  `Accepted: batch ${id}, ${itemsText(counts.total)} for ${handler}.`;

const nextSteps = ({ id, sealed }: Batch): string[] => [
  ...(sealed ? [] : [`  pnpm bullpen append ${id} FILE`, `  pnpm bullpen close ${id}`]),
  `  pnpm bullpen watch ${id}`,
  `  pnpm bullpen results ${id}`,
];
