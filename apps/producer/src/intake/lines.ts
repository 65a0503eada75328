import { isUtf8 } from 'node:buffer';
import { HttpProblem } from '../http/problem.ts';
import type { Block } from './read-items.ts';
import { notUtf8 } from './utf8.ts';

const lf = 0x0a;
const bom = '\ufeff';

/**
 * Bytes as lines, a block at a time: whatever came with one read, up to its last line feed. Strict UTF-8, whose faults are
 * named by their offset; a byte order mark at the start and carriage returns at the ends are left out. A last line without a
 * line feed is a line. Throws HttpProblem where a line is longer than `lineMaxBytes`.
 */
export async function* readLines(
  source: AsyncIterable<Buffer>,
  { lineMaxBytes }: { lineMaxBytes: number },
): AsyncGenerator<Block> {
  let open: Buffer[] = [];
  let openBytes = 0;
  let line = 1;
  let offset = 0;

  function blockOf(bytes: Buffer): Block {
    const text = decode(bytes, { offset, line });
    const texts = (offset === 0 && text.startsWith(bom) ? text.slice(1) : text).split('\n');
    const first = line;
    if (text.includes('\r'))
      for (const [at, each] of texts.entries()) if (each.endsWith('\r')) texts[at] = each.slice(0, -1);
    refuseLong(first, texts, lineMaxBytes);
    offset += bytes.length + 1;
    line += texts.length;
    return { texts, lineOf: (at) => first + at };
  }

  for await (const part of source) {
    const end = part.lastIndexOf(lf);
    const first = end < 0 ? -1 : part.indexOf(lf);
    if (openBytes + (end < 0 ? part.length : first) > lineMaxBytes + 1) throw tooLong(line, lineMaxBytes);
    if (end < 0) {
      open.push(part);
      openBytes += part.length;
      continue;
    }
    const whole = part.subarray(0, end);
    yield blockOf(openBytes === 0 ? whole : Buffer.concat([...open, whole]));
    open = end + 1 === part.length ? [] : [part.subarray(end + 1)];
    openBytes = part.length - end - 1;
    if (openBytes > lineMaxBytes + 1) throw tooLong(line, lineMaxBytes);
  }
  if (openBytes > 0) yield blockOf(Buffer.concat(open));
}

/** A text has at most three bytes for each of its units, so most lines are seen to fit by their length. */
function refuseLong(first: number, texts: readonly string[], lineMaxBytes: number): void {
  const sure = lineMaxBytes / 3;
  for (const [at, text] of texts.entries())
    if (text.length > sure && Buffer.byteLength(text) > lineMaxBytes) throw tooLong(first + at, lineMaxBytes);
}

const tooLong = (line: number, lineMaxBytes: number): HttpProblem =>
  new HttpProblem('too-large', `Line ${line} is longer than ${lineMaxBytes} bytes`, {
    errors: [{ line, message: `is longer than ${lineMaxBytes} bytes` }],
  });

function decode(bytes: Buffer, from: { offset: number; line: number }): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  throw notUtf8(bytes, from);
}
