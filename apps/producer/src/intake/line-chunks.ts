import type { UploadedChunk } from '@bullpen/db';
import { createGroupKey, lineOf } from '@bullpen/handlers';
import { HttpProblem } from '../http/problem.ts';
import { createCutter, type CutRules, type Cutter, InputTooLarge, type Skipped } from './chunk.ts';

export interface Lines {
  count: number;
  /** In which line an item goes: that of its group; one without a key is spread. */
  lineOf: (value: unknown, index: number) => number;
  /** How many had a key so far. */
  keyed: () => number;
}

/**
 * The lines of a batch, by its options; null: it has no groups. Items without a key go around from the line `from` on: many small
 * appends would otherwise put theirs into the first one.
 */
export function linesFor({ groupBy }: { groupBy?: string | undefined }, count: number, from = 0): Lines | null {
  if (groupBy === undefined) return null;
  const keyOf = createGroupKey(groupBy);
  let keyed = 0;
  return {
    count,
    lineOf: (value, index) => {
      const key = keyOf(value);
      if (key === null) return (from + index) % count;
      keyed += 1;
      return lineOf(key, count);
    },
    keyed: () => keyed,
  };
}

/** Of a batch in which no item has a key nothing would have an order or a limit, and nobody would be told. */
export function refuseNoKeys(lines: Lines | null, groupBy: string | undefined): void {
  if (lines === null || lines.keyed() > 0) return;
  throw new HttpProblem('invalid', `No item has a value at ${JSON.stringify(groupBy)}, so none would have a group`, {
    errors: [{ pointer: '/options/groupBy', message: 'names no field that an item has' }],
  });
}

/**
 * A chunk ends when so much has come since it began, whatever of it was its own. A group that comes once in a thousand items would
 * otherwise keep its chunk open for long: an open text holds the block that it was read with, 64 KiB, and who looks for the
 * row of an item goes back over all rows that began before it.
 */
const openMax = { items: 50_000, bytes: 8 * 1024 * 1024 };
/** All lines are looked at after so many items. */
const itemsPerLook = 256;

interface Open {
  first: number;
  texts: string[];
  skipped: { index: number; error: Skipped }[];
  size: number;
  /** Of its JSON. */
  bytes: number;
  /** What had come when it began. */
  began: number;
}

/**
 * Cuts inputs into chunks of one line each, as they come: several are open at once. A chunk ends as others do (chunk.ts), and the
 * chunks of a line follow one another: all indexes of one are smaller than those of the next.
 */
function createLineCutter({ sizeFor, maxBytes, lines }: CutRules & { lines: Lines }): Cutter {
  let chunks: UploadedChunk[] = [];
  const open: (Open | null)[] = Array.from({ length: lines.count }, () => null);
  // Of the open chunk of each line, from the start on. They stay: a list that grows anew for each chunk makes much garbage.
  const indexes: number[][] = open.map(() => []);
  let count = 0;
  let bytes = 0;

  function close(line: number): void {
    const chunk = open[line];
    if (!chunk) return;
    const { first, texts, skipped } = chunk;
    const size = texts.length;
    chunks.push({ first, size, items: `[${texts.join(',')}]`, skipped, line, indexes: indexes[line]!.slice(0, size) });
    open[line] = null;
  }

  function closeOld(): void {
    for (const [line, chunk] of open.entries()) {
      if (chunk === null) continue;
      if (count - chunk.first >= openMax.items || bytes - chunk.began >= openMax.bytes) close(line);
    }
  }

  function begin(line: number): Open {
    const chunk = { first: count, texts: [], skipped: [], size: sizeFor(count), bytes: 1, began: bytes };
    open[line] = chunk;
    return chunk;
  }

  return {
    push(text, value, error) {
      const length = Buffer.byteLength(text);
      if (length + 2 > maxBytes) throw new InputTooLarge(count);
      const line = lines.lineOf(value, count);
      let chunk = open[line] ?? begin(line);
      if (chunk.texts.length === chunk.size || (chunk.texts.length > 0 && chunk.bytes + length + 1 > maxBytes)) {
        close(line);
        chunk = begin(line);
      }
      if (error !== undefined) chunk.skipped.push({ index: count, error });
      indexes[line]![chunk.texts.length] = count;
      chunk.texts.push(text);
      // With a comma or a bracket after it.
      chunk.bytes += length + 1;
      bytes += length;
      count += 1;
      if (count % itemsPerLook === 0) closeOld();
    },
    take() {
      const cut = chunks;
      if (cut.length > 0) chunks = [];
      return cut;
    },
    end() {
      for (let line = 0; line < open.length; line += 1) close(line);
      return this.take();
    },
  };
}

/** Cuts inputs into chunks, by lines where there are any. */
export const cutterFor = ({ lines, ...rules }: CutRules & { lines: Lines | null }): Cutter =>
  lines === null ? createCutter(rules) : createLineCutter({ ...rules, lines });
