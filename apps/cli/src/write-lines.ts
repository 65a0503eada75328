import { once } from 'node:events';
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

async function writeAll(stream: Writable, text: string): Promise<boolean> {
  if (isGone(stream)) return false;
  if (!stream.write(text)) {
    // An error or a close is as good an end of waiting; both are told by the stream itself.
    const waiting = new AbortController();
    const { signal } = waiting;
    await Promise.race([once(stream, 'drain', { signal }), once(stream, 'close', { signal })]).catch(() => {});
    waiting.abort();
  }
  return !isGone(stream);
}

const isGone = (stream: Writable): boolean => stream.destroyed || stream.errored !== null || !stream.writable;
