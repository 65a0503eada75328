import type { Writable } from 'node:stream';

/** One write for many lines: a write for each is a system call for each, 4 s for a million of them. */
const BLOCK_CHARS = 65_536;

/**
 * Writes lines as fast as the reader takes them. Resolves with false when the reader went away, as `head` does; `lines` is then
 * closed, which ends the request behind it.
 */
export async function writeLines(stream: Writable, lines: AsyncIterable<string>): Promise<boolean> {
  let block = '';
  for await (const line of lines) {
    block += `${line}\n`;
    if (block.length < BLOCK_CHARS) continue;
    if (!(await writeAll(stream, block))) return false;
    block = '';
  }
  return block === '' || writeAll(stream, block);
}

/** The same of bytes, as they come. */
export async function writeBytes(stream: Writable, parts: AsyncIterable<Uint8Array>): Promise<boolean> {
  for await (const part of parts) if (!(await writeAll(stream, part))) return false;
  return true;
}

/** Waits for each write to be over: that the reader is gone may be told only then. */
function writeAll(stream: Writable, text: string | Uint8Array): Promise<boolean> {
  if (isGone(stream)) return Promise.resolve(false);
  return new Promise((resolve) => stream.write(text, (error) => resolve(!error && !isGone(stream))));
}

const isGone = (stream: Writable): boolean => stream.destroyed || stream.errored !== null || !stream.writable;
