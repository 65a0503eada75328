import { type JobAnswer, type Result, waitSecondsMax } from '@bullpen/api';
import type { Command } from 'commander';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { exitCode } from '../failure.ts';
import { findSource, type Source } from '../input/source.ts';
import { jsonOption, parseJson, wholeNumber } from '../options.ts';
import { idempotencyKey, newKey, sendUnderKey } from '../sending.ts';
import { itemsText } from '../text/numbers.ts';
import { shortText } from '../text/table.ts';

interface JobOptions extends ConnectOptions {
  wait?: number;
  key?: string;
}

const examples = `
Examples:
  pnpm bullpen job add '{"a": 1, "b": 2}' --wait 10
  pnpm bullpen job echo @input.json
  echo '{"a": 1, "b": 2}' | pnpm bullpen job add - --wait 10 --json | jq .output`;

export function addJob(program: Command, context: Context): void {
  apiCommand(program, 'job')
    .summary('run a single item')
    .description(
      'Submits one item and prints its result if it is there in time, else where it will be. Exit code 1 when the item failed.',
    )
    .argument('<handler>', 'what runs it (pnpm bullpen handlers lists them)')
    .argument('<input>', 'its input: JSON, or @file; - reads stdin')
    .option('--wait <seconds>', 'how long to wait for the result', wholeNumber(0, waitSecondsMax))
    .option('--key <key>', 'Idempotency-Key: what is submitted again under it is taken once', idempotencyKey)
    .addHelpText('after', examples)
    .action(async (handler: string, text: string, options: JobOptions) => {
      const { key = newKey(), wait, json } = options;
      const input =
        text === '-' ? await readJson(await findSource(context, text)) : await jsonOption(context, 'The input', text);
      const client = await connect(context, options);
      const answer = await sendUnderKey(context, { key, repeatable: true }, (signal) =>
        client.submitJob(handler, input, { waitSeconds: wait, key, signal }),
      );
      if (json) printJson(context.stdout, 'result' in answer ? answer.result : answer.placed);
      else
        printLines(context.stdout, 'result' in answer ? resultLines(answer.result) : placedLines(answer.placed, wait));
      const failed = 'result' in answer && answer.result.status !== 'succeeded';
      context.setExitCode(failed ? exitCode.failed : exitCode.good);
    });
}

async function readJson(source: Source): Promise<unknown> {
  const parts: Uint8Array[] = [];
  for await (const part of source.open()) parts.push(part);
  return parseJson(Buffer.concat(parts).toString('utf8'), source.name);
}

function resultLines({ index, status, attempts, output, error }: Result): string[] {
  const item = `item ${index}, ${itemsText(attempts, 'attempt')}`;
  if (status === 'succeeded') return [`Succeeded: ${item}.`, JSON.stringify(output, null, 2)];
  return [
    error === null
      ? `It was ${status}: ${item}.`
      : `Failed: ${shortText(`${error.code}: ${error.message}`, 300)} (${item})`,
  ];
}

const placedLines = ({ batchId, index }: JobAnswer, wait = 0): string[] => [
  ...(wait > 0 ? [`There is no result within ${wait} s.`] : []),
  `Accepted: item ${index} of batch ${batchId}. Its result, once it is there:`,
  '',
  `  pnpm bullpen results ${batchId} --item ${index}`,
];
