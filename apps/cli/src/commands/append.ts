import { createGunzip } from 'node:zlib';
import { pipeline } from 'node:stream';
import type { AppendAnswer, Client } from '@bullpen/api';
import type { Command } from 'commander';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { exitCode, explain, Failure } from '../failure.ts';
import { asLines } from '../input/array.ts';
import { cutPieces, type Piece } from '../input/pieces.ts';
import { findSource, type Form, formatOption, type Source } from '../input/source.ts';
import { toldOf } from '../input/told.ts';
import { batchIdOf, idArgument } from '../newest.ts';
import { openUpload, silentUpload } from '../progress/upload.ts';
import { idempotencyKey, newKey, sendUnderKey } from '../sending.ts';
import { countText, itemsText } from '../text/numbers.ts';

interface AppendOptions extends ConnectOptions {
  format?: Form;
  key?: string;
}

const examples = `
Examples:
  pnpm bullpen append last more.ndjson
  pnpm bullpen append 0198c3a4-… more.json
  tail -f -n +1 events.log | head -1000 | pnpm bullpen append 0198c3a4-… - --format ndjson`;

export function addAppend(program: Command, context: Context): void {
  apiCommand(program, 'append')
    .summary('give more items to an open batch (submit --open)')
    .description(
      'Appends the items of a JSON array or of NDJSON to an open batch. What is longer than one append may be (50 000 items, ' +
        '8 MiB) goes in several, each all or nothing.',
    )
    .argument('<id>', idArgument)
    .argument('<file>', '.ndjson, .jsonl, each also with .gz, or .json; - reads stdin')
    .addOption(formatOption())
    .option('--key <key>', 'Idempotency-Key: what is appended again under it is taken once', idempotencyKey)
    .addHelpText('after', examples)
    .action(async (id: string, file: string, options: AppendOptions) => {
      const source = await findSource(context, file, options);
      if (source.form === 'csv')
        throw new Failure('CSV cannot be appended, only NDJSON or a JSON array', exitCode.usage);
      const client = await connect(context, options);
      const batch = await batchIdOf(client, id);
      const appends = await append(context, client, batch, source, options);
      const count = appends.reduce((sum, each) => sum + each.count, 0);
      if (options.json) printJson(context.stdout, { batchId: batch, count, appends });
      else printLines(context.stdout, [appendedText(batch, appends, count)]);
    });
}

async function append(
  context: Context,
  client: Client,
  batch: string,
  source: Source,
  { key = newKey(), json }: AppendOptions,
): Promise<AppendAnswer[]> {
  const isArray = source.form === 'json';
  const lines = await asLines(source);
  const upload = json ? silentUpload : openUpload(context.stderr, lines.size);
  const body = upload.count(lines.open());
  const appends: AppendAnswer[] = [];
  const send = (piece: Piece, keyOfPiece: string): Promise<AppendAnswer> =>
    sendUnderKey(context, { key, repeatable: true }, (signal) =>
      client.appendLines(batch, piece.bytes, { key: keyOfPiece, signal }),
    );
  try {
    for await (const piece of cutPieces(lines.gzip ? unpacked(body) : body)) {
      const answer = send(piece, `${key}-${appends.length + 1}`);
      appends.push(await answer.catch((error: unknown) => stopAt(error, appends, { ...piece, isArray, key })));
    }
  } finally {
    upload.close();
  }
  if (appends.length === 0) throw new Failure(`${source.name} holds no items`);
  return appends;
}

/** What was appended before a refusal stays: the same again, with the same key, appends only what is missing. */
function stopAt(
  error: unknown,
  appends: readonly AppendAnswer[],
  { linesBefore, isArray, key }: { linesBefore: number; isArray: boolean; key: string },
): never {
  const told = toldOf(error, { linesBefore, isArray });
  if (appends.length === 0) throw told;
  const count = appends.reduce((sum, each) => sum + each.count, 0);
  const { lines, exitCode } = explain(told);
  const place = isArray ? `element ${countText(linesBefore)}` : `line ${countText(linesBefore + 1)}`;
  const kept =
    `${itemsText(count)} before ${place} were appended and stay. ` +
    `The same again with --key ${key} appends the rest alone, as long as nothing before that is changed.`;
  throw new Failure([...lines, kept].join('\n'), exitCode);
}

async function* unpacked(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* pipeline(body, createGunzip(), () => {}) as AsyncIterable<Uint8Array>;
}

function appendedText(batch: string, appends: readonly AppendAnswer[], count: number): string {
  const where = `from index ${countText(appends[0]?.firstIndex ?? 0)} on`;
  const how = appends.length === 1 ? where : `${where}, in ${countText(appends.length)} appends`;
  return `Appended: ${itemsText(count)} to batch ${batch}, ${how}.`;
}

export function addClose(program: Command, context: Context): void {
  apiCommand(program, 'close')
    .summary('let an open batch take no more items')
    .description('Closes an open batch: it takes no more items, and completes when all it has are done.')
    .argument('<id>', idArgument)
    .addHelpText('after', '\nExamples:\n  pnpm bullpen close last\n  pnpm bullpen close 0198c3a4-… --json | jq .counts')
    .action(async (id: string, options: ConnectOptions) => {
      const client = await connect(context, options);
      const batch = await client.close(await batchIdOf(client, id));
      if (options.json) printJson(context.stdout, batch);
      else printLines(context.stdout, [`Closed: batch ${batch.id} has ${itemsText(batch.counts.total)}.`]);
    });
}
