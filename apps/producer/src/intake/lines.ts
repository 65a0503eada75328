import { HttpProblem } from '../http/problem.ts';
import { findInvalid } from '../http/utf8.ts';

/** Lines that stand together, the first of which has the number `line` (from 1). Blank ones are there, as ''. */
export interface Lines {
  line: number;
  texts: string[];
}

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
): AsyncGenerator<Lines> {
  let open: Buffer[] = [];
  let openBytes = 0;
  let line = 1;
  let offset = 0;

  function linesOf(bytes: Buffer): Lines {
    const text = decode(bytes, offset);
    const texts = (offset === 0 && text.startsWith(bom) ? text.slice(1) : text).split('\n');
    for (const [at, each] of texts.entries()) if (each.endsWith('\r')) texts[at] = each.slice(0, -1);
    const lines = { line, texts };
    offset += bytes.length + 1;
    line += texts.length;
    return lines;
  }

  for await (const part of source) {
    const end = part.lastIndexOf(lf);
    const first = end < 0 ? -1 : part.indexOf(lf);
    if (openBytes + (end < 0 ? part.length : first) > lineMaxBytes) throw tooLong(line, lineMaxBytes);
    if (end < 0) {
      open.push(part);
      openBytes += part.length;
      continue;
    }
    const whole = linesOf(Buffer.concat([...open, part.subarray(0, end)]));
    refuseLong(whole, lineMaxBytes);
    yield whole;
    open = [part.subarray(end + 1)];
    openBytes = open[0]!.length;
    if (openBytes > lineMaxBytes) throw tooLong(line, lineMaxBytes);
  }
  if (openBytes > 0) yield linesOf(Buffer.concat(open));
}

/** A text has at most three bytes for each of its units, so most lines are seen to fit by their length. */
function refuseLong({ line, texts }: Lines, lineMaxBytes: number): void {
  const sure = lineMaxBytes / 3;
  for (const [at, text] of texts.entries())
    if (text.length > sure && Buffer.byteLength(text) > lineMaxBytes) throw tooLong(line + at, lineMaxBytes);
}

const tooLong = (line: number, lineMaxBytes: number): HttpProblem =>
  new HttpProblem('too-large', `Line ${line} is longer than ${lineMaxBytes} bytes`, {
    errors: [{ line, message: `is longer than ${lineMaxBytes} bytes` }],
  });

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(bytes: Buffer, offset: number): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new HttpProblem(
      'malformed',
      `The body is no UTF-8: the sequence at byte ${offset + findInvalid(bytes)} is not valid`,
    );
  }
}
