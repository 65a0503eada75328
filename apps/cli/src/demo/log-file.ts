import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { finished } from 'node:stream/promises';
import { shortText } from '../text/table.ts';

export interface LogFile {
  stream: WriteStream;
  /** For people. */
  shownPath: string;
  /** What was written last, for people, when all of it is on disk. */
  closeAndTail(lines: number): Promise<string[]>;
}

/** `<DATA_DIR>/demo.log`, written anew by each demo. Each process's JSON lines go there as they come. */
export async function openLogFile(dataDir: string): Promise<LogFile> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const path = join(dataDir, 'demo.log');
  const stream = createWriteStream(path, { mode: 0o600 });
  // A full disk must not end the demo: the log is only for the case that something else fails.
  stream.on('error', () => {});
  return {
    stream,
    shownPath: shorter(path),
    async closeAndTail(lines) {
      stream.end();
      await finished(stream).catch(() => {});
      return tail(await readFile(path, 'utf8').catch(() => ''), lines);
    },
  };
}

/** A path that leads out of here and far away is better shown whole. */
function shorter(path: string): string {
  const fromHere = relative('.', path);
  return fromHere.startsWith('..') ? path : fromHere;
}

const tail = (text: string, lines: number): string[] =>
  text
    .split('\n')
    .filter(Boolean)
    .slice(-lines)
    .map((line) => shortText(readable(line), 300));

/** pino's JSON as `worker: uncaught error: no route to host`; anything else as it is. */
function readable(line: string): string {
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry !== 'object' || entry === null) return line;
    const { name, msg, error }: { name?: unknown; msg?: unknown; error?: unknown } = entry;
    return [name, msg, error].filter((part) => typeof part === 'string' && part !== '').join(': ') || line;
  } catch {
    return line;
  }
}
