import { Failure } from '../failure.ts';
import { countText } from '../text/numbers.ts';

/** What one append may hold. */
const pieceMax = { bytes: 8 * 1024 * 1024, items: 50_000 };

/** Lines that go into one append. */
export interface Piece {
  bytes: Buffer;
  items: number;
  /** Lines of the source before it. */
  linesBefore: number;
}

const lineEnd = 0x0a;

/**
 * Cuts NDJSON at line ends into pieces that an append may hold. Where the cuts are depends on the text alone, so that the same
 * text is cut the same again. Throws Failure where a line is too long for any append.
 */
export async function* cutPieces(body: AsyncIterable<Uint8Array>, max = pieceMax): AsyncGenerator<Piece> {
  let held: Buffer[] = [];
  let [bytes, items, lines, linesBefore] = [0, 0, 0, 0];
  const take = (): Piece => {
    const piece = { bytes: Buffer.concat(held), items, linesBefore };
    linesBefore += lines;
    held = [];
    [bytes, items, lines] = [0, 0, 0];
    return piece;
  };
  for await (const line of wholeLines(body, max.bytes)) {
    const isItem = !isBlank(line);
    const isFull = bytes + line.length > max.bytes || (isItem && items === max.items);
    const full = isFull ? take() : null;
    if (full !== null && full.items > 0) yield full;
    held.push(line);
    bytes += line.length;
    lines += 1;
    if (isItem) items += 1;
  }
  const last = take();
  if (last.items > 0) yield last;
}

/** Each line with its end; the last one may have none. */
async function* wholeLines(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Buffer> {
  // Parts of a line that is not over: joined once, since a line may come in many parts.
  let open: Buffer[] = [];
  let [openBytes, line] = [0, 1];
  const add = (bytes: Buffer): void => {
    open.push(bytes);
    openBytes += bytes.length;
    if (openBytes > maxBytes)
      throw new Failure(`Line ${countText(line)} has more than ${countText(maxBytes)} bytes, too many for an append`);
  };
  const take = (): Buffer => {
    const whole = open.length === 1 ? open[0]! : Buffer.concat(open);
    open = [];
    openBytes = 0;
    line += 1;
    return whole;
  };
  for await (const part of body) {
    const bytes = Buffer.from(part.buffer, part.byteOffset, part.byteLength);
    let from = 0;
    for (let end = bytes.indexOf(lineEnd); end >= 0; end = bytes.indexOf(lineEnd, from)) {
      add(bytes.subarray(from, end + 1));
      from = end + 1;
      yield take();
    }
    if (from < bytes.length) add(bytes.subarray(from));
  }
  if (openBytes > 0) yield take();
}

/** Spaces alone are no item. */
function isBlank(line: Buffer): boolean {
  for (const byte of line) if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d && byte !== lineEnd) return false;
  return true;
}
