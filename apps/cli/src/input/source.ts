import { createReadStream, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { Option } from 'commander';
import type { Context } from '../context.ts';
import { exitCode, Failure, messageOf } from '../failure.ts';

const forms = ['json', 'ndjson', 'csv'] as const;
export type Form = (typeof forms)[number];

/** Where inputs come from: a file, or stdin. */
export interface Source {
  /** For messages. */
  name: string;
  /** `json` is an array, one element for each item. */
  form: Form;
  gzip: boolean;
  /** In bytes; null where nobody knows. */
  size: number | null;
  /** Whether it can be read again from its beginning. */
  repeatable: boolean;
  /** Reads it, from its beginning where it is repeatable. */
  open(): AsyncIterable<Uint8Array>;
}

const formsByEnding: Readonly<Record<string, Form>> = { json: 'json', ndjson: 'ndjson', jsonl: 'ndjson', csv: 'csv' };

/** Large reads: each is a chunk of the request and a frame of the progress. */
const readBytes = 256 * 1024;

export const formatOption = (): Option =>
  new Option('--format <form>', 'what stdin holds, or a file whose name does not say it').choices(forms);

/** `otherwise` is the form of a name that does not say it. */
export async function findSource(
  context: Context,
  path: string,
  { format, otherwise }: { format?: Form | undefined; otherwise?: Form | undefined } = {},
): Promise<Source> {
  const { stdin } = context;
  if (path === '-') {
    const form = format ?? otherwise ?? 'json';
    return { name: 'stdin', form, gzip: false, size: null, repeatable: false, open: () => bytesOf(stdin) };
  }
  const file = resolve(context.folder, path);
  const found = await statOf(file, path);
  const { form, gzip } = formOf(path, format ?? null, otherwise);
  const repeatable = found.isFile();
  const open = (): AsyncIterable<Uint8Array> => createReadStream(file, { highWaterMark: readBytes });
  return { name: path, form, gzip, size: repeatable ? found.size : null, repeatable, open };
}

async function statOf(file: string, path: string): Promise<Stats> {
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'there is no such file' : messageOf(error);
    throw new Failure(`Cannot read ${path}: ${why}`, exitCode.usage);
  });
  if (found.isDirectory()) throw new Failure(`Cannot read ${path}: it is a folder, give a file`, exitCode.usage);
  return found;
}

/** By the name: `users.csv.gz` is CSV in gzip. */
function formOf(path: string, format: Form | null, otherwise: Form | undefined): { form: Form; gzip: boolean } {
  const gzip = /\.gz$/i.test(path);
  const ending = /\.([^.]+)$/.exec(basename(path).replace(/\.gz$/i, ''))?.[1]?.toLowerCase() ?? '';
  const form = format ?? formsByEnding[ending] ?? otherwise;
  if (form === undefined)
    throw new Failure(
      `The name ${path} does not say what it holds: name it .ndjson, .jsonl, .csv (each also with .gz) or .json, ` +
        'or say --format json, ndjson or csv',
      exitCode.usage,
    );
  if (form === 'json' && gzip)
    throw new Failure(`A JSON array is not taken as gzip: gunzip ${path}, or make it NDJSON`, exitCode.usage);
  return { form, gzip };
}

async function* bytesOf(stream: AsyncIterable<Buffer | string>): AsyncGenerator<Uint8Array> {
  for await (const part of stream) yield Buffer.from(part as Buffer);
}
