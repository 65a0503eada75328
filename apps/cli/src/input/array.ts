import { exitCode, Failure } from '../failure.ts';
import { parseJson } from '../options.ts';
import type { Source } from './source.ts';

/** The array of inputs in a JSON source. */
export async function readArray(source: Source): Promise<unknown[]> {
  const parts: Uint8Array[] = [];
  for await (const part of source.open()) parts.push(part);
  const inputs = parseJson(Buffer.concat(parts).toString('utf8'), source.name);
  if (Array.isArray(inputs)) return inputs;
  throw new Failure(
    `${source.name} must hold a JSON array, one element for each item: [{"a": 1}, {"a": 2}]; inputs of a line each: --format ndjson`,
    exitCode.usage,
  );
}

/** Where the service takes lines only, an array goes as NDJSON, one element a line. It is read here, and kept. */
export async function asLines(source: Source): Promise<Source & { form: 'ndjson' | 'csv' }> {
  const { form } = source;
  if (form !== 'json') return { ...source, form };
  const elements = await readArray(source);
  return { ...source, form: 'ndjson', size: null, repeatable: true, open: () => linesOf(elements) };
}

const elementsAtOnce = 1000;

async function* linesOf(elements: readonly unknown[]): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < elements.length; at += elementsAtOnce) {
    const lines = elements.slice(at, at + elementsAtOnce).map((element) => `${JSON.stringify(element)}\n`);
    yield Buffer.from(lines.join(''));
  }
}
