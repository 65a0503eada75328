import type { ProblemError, Validation } from '@bullpen/api';
import type { Command } from 'commander';
import { addBatchOptions, batchHead, type BatchOptions } from '../batch-options.ts';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { exitCode } from '../failure.ts';
import { asLines } from '../input/array.ts';
import { findSource, type Form, formatOption } from '../input/source.ts';
import { openUpload, silentUpload } from '../progress/upload.ts';
import { itemsText } from '../text/numbers.ts';
import { shortText, table } from '../text/table.ts';

interface ValidateOptions extends ConnectOptions, BatchOptions {
  format?: Form;
}

const examples = `
Examples:
  pnpm bullpen validate numbers.csv --handler add
  pnpm bullpen validate numbers.ndjson.gz --handler add --json | jq .errors[].line
  pnpm bullpen validate orders.csv --handler echo --group-by customer --ordered
  zcat logs.gz | pnpm bullpen validate - --format ndjson --handler echo`;

export function addValidate(program: Command, context: Context): void {
  addBatchOptions(
    apiCommand(program, 'validate')
      .summary('see whether the lines of a file can be taken; nothing is submitted')
      .description(
        'Lets the service look at a file as submit would send it, with the same options, and stores nothing. Shows the first ' +
          'hundred faults. Exit code 0 when all can be taken, else 1.',
      )
      .argument('<file>', '.ndjson, .jsonl, .csv, each also with .gz, or .json; - reads stdin'),
  )
    .addOption(formatOption())
    .addHelpText('after', examples)
    .action(async (file: string, options: ValidateOptions) => {
      context.setExitCode(await validate(context, file, options));
    });
}

async function validate(context: Context, file: string, options: ValidateOptions): Promise<number> {
  const source = await findSource(context, file, options);
  const lines = await asLines(source);
  const { form, gzip } = lines;
  const head = await batchHead(context, options);
  const client = await connect(context, options);
  const upload = options.json ? silentUpload : openUpload(context.stderr, lines.size);
  const found = await client
    .validateStream({ ...head, form, gzip, body: upload.count(lines.open()) })
    .finally(() => upload.close());
  if (options.json) printJson(context.stdout, found);
  else printLines(context.stdout, linesOf(found, source.form === 'json'));
  return isGood(found) ? exitCode.good : exitCode.failed;
}

/** A batch without items is refused too. */
const isGood = ({ lines, errors }: Validation): boolean => lines > 0 && errors.length === 0;

/** The service says so many faults at most. */
const faultsMax = 100;

function linesOf(found: Validation, isArray: boolean): string[] {
  const { lines, errors } = found;
  const count = isArray ? itemsText(lines, 'element') : itemsText(lines, 'line');
  if (lines === 0) return [`${count}: there is nothing to submit`];
  if (errors.length === 0) return [`${count}, ${lines === 1 ? 'it' : 'all of them'} can be taken`];
  const faults = errors.length < faultsMax ? itemsText(errors.length, 'fault') : `the first ${faultsMax} faults`;
  return [...faultTable(errors, isArray), '', `${count}, ${faults}`];
}

/** Elements are numbered as results are, from 0; lines as editors do, from 1. */
const faultTable = (errors: readonly ProblemError[], isArray: boolean): string[] =>
  table<ProblemError>(
    [
      {
        title: isArray ? 'ELEMENT' : 'LINE',
        align: 'right',
        text: ({ line }) => (line === undefined ? '' : String(isArray ? line - 1 : line)),
      },
      { title: 'WHERE', text: ({ pointer = '' }) => shortText(pointer, 40) },
      { title: 'WHAT', text: ({ message }) => shortText(message, 120) },
    ],
    errors,
  );
