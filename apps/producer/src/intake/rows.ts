import { isUtf8 } from 'node:buffer';
import { groupField } from '@bullpen/handlers';
import { CsvError, parse } from 'csv-parse';
import { HttpProblem } from '../http/problem.ts';
import { writeAll } from '../http/write-all.ts';
import type { CellReader } from './cells.ts';
import type { Block } from './read-items.ts';
import { linesIn, notUtf8 } from './utf8.ts';

/** A block has so many rows, or so many characters. */
const rowsPerBlock = 500;
const charsPerBlock = 256 * 1024;
const columnsMax = 1000;

export interface RowRules {
  rowMaxBytes: number;
  /** Makes JSON of the cells of a column. */
  readerOf: (column: string) => CellReader;
  /** Where group keys are read, which has to be in a column. */
  groupBy?: string | undefined;
  /** Told of the header before the first block. */
  onColumns: (columns: readonly string[]) => void;
}

/**
 * CSV as JSON objects by its header (RFC 4180: comma, double quotes, quoted line ends; a byte order mark and blank lines are
 * left out), some hundred rows at a time. A row with too few or too many cells is a fault of that row; a header that is no
 * header, a quote that does not end and invalid UTF-8 are thrown.
 */
export async function* readRows(source: AsyncIterable<Buffer>, rules: RowRules): AsyncGenerator<Block> {
  const options = {
    bom: true,
    record_delimiter: ['\r\n', '\n'],
    relax_column_count: true,
    max_record_size: rules.rowMaxBytes,
    // Of the stream: rows may have a MiB each, and none waits in the parser.
    readableHighWaterMark: 1,
  };
  const parser = parse(options);
  // Errors come out of the loop below; this one only feeds it, and is not waited for: its next part may never come.
  feed(source, parser).catch((error: Error) => parser.destroy(error));
  const rows = createRows(rules);
  try {
    for await (const row of parser as AsyncIterable<string[]>) {
      rows.add(row);
      if (rows.isFull()) yield rows.take();
    }
  } catch (error) {
    throw error instanceof CsvError ? csvProblem(error, rules.rowMaxBytes) : error;
  } finally {
    parser.destroy();
  }
  if (rows.count() > 0) yield rows.take();
}

/** Collects rows as JSON texts. The first one is the header. */
function createRows(rules: RowRules) {
  let columns: { name: string; start: string; read: CellReader }[] | null = null;
  let texts: string[] = [];
  let lines: number[] = [];
  let faults = new Map<number, string>();
  let line = 1;
  let chars = 0;

  function textOf(record: readonly string[]): string {
    let text = '';
    for (const [at, { start, read }] of columns!.entries()) {
      const json = read(record[at]!);
      if (json !== null) text += `${text === '' ? '{' : ','}${start}${json}`;
    }
    return text === '' ? '{}' : `${text}}`;
  }

  return {
    add(record: readonly string[]): void {
      const began = line;
      line += 1 + innerLines(record);
      if (record.length === 1 && record[0] === '') return;
      if (columns === null) {
        checkHeader(record, began, rules.groupBy);
        columns = record.map((name) => ({ name, start: `${JSON.stringify(name)}:`, read: rules.readerOf(name) }));
        return rules.onColumns(record);
      }
      if (record.length === columns.length) texts.push(textOf(record));
      else {
        faults.set(texts.length, `has ${record.length} cells, the header has ${columns.length}`);
        texts.push(JSON.stringify(record));
      }
      lines.push(began);
      chars += texts.at(-1)!.length;
    },
    count: (): number => texts.length,
    isFull: (): boolean => texts.length >= rowsPerBlock || chars >= charsPerBlock,
    take(): Block {
      const began = lines;
      const block = { texts, faults, lineOf: (at: number) => began[at]! };
      [texts, lines, faults, chars] = [[], [], new Map(), 0];
      return block;
    },
  };
}

/** The library would count lines too, and be half as fast. */
function innerLines(record: readonly string[]): number {
  let lines = 0;
  for (const cell of record) if (cell.includes('\n')) lines += cell.split('\n').length - 1;
  return lines;
}

function checkHeader(names: readonly string[], line: number, groupBy: string | undefined): void {
  const refuse = (message: string): never => {
    throw new HttpProblem('invalid', `The header of the CSV ${message}`, { errors: [{ line, message }] });
  };
  if (names.length > columnsMax) refuse(`may have ${columnsMax} columns`);
  const empty = names.indexOf('');
  if (empty >= 0) refuse(`has no name for column ${empty + 1}`);
  if (names.length === 1 && /[;\t|]/.test(names[0]!)) {
    const name = JSON.stringify(names[0]!.slice(0, 50));
    refuse(`has one column, named ${name}: cells are separated by commas (save it as comma-separated CSV)`);
  }
  const double = names.find((name, at) => names.indexOf(name) !== at);
  if (double !== undefined) refuse(`names the column ${JSON.stringify(double.slice(0, 50))} twice`);
  // Of a file without it no item would have a key, and nothing an order.
  if (groupBy !== undefined && !names.includes(groupField(groupBy)))
    refuse(`has no column ${JSON.stringify(groupField(groupBy))}, by which groupBy reads the group of a row`);
}

/** Writes the bytes into the parser at its pace, once they are known to be UTF-8: it would put U+FFFD for what is not. */
async function feed(source: AsyncIterable<Buffer>, parser: ReturnType<typeof parse>): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  let offset = 0;
  let line = 1;
  for await (const part of source) {
    const bytes = rest.length === 0 ? part : Buffer.concat([rest, part]);
    const whole = bytes.subarray(0, wholeBytes(bytes));
    if (!isUtf8(whole)) throw notUtf8(whole, { offset, line });
    line += linesIn(whole);
    rest = bytes.subarray(whole.length);
    offset += whole.length;
    if (!(await writeAll(parser, whole))) return;
  }
  if (rest.length > 0) throw notUtf8(rest, { offset, line });
  parser.end();
}

/** Length without a sequence at the end that may be cut. */
function wholeBytes(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) return bytes.length;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

const csvFaults: Record<string, string> = {
  CSV_QUOTE_NOT_CLOSED: 'a quote that does not end',
  CSV_INVALID_CLOSING_QUOTE: 'text after the closing quote of a cell',
  INVALID_OPENING_QUOTE: 'a quote within a cell that does not begin with one',
};

function csvProblem(error: CsvError, rowMaxBytes: number): HttpProblem {
  const line = Number((error as { lines?: unknown }).lines ?? 0) || 1;
  if (error.code === 'CSV_MAX_RECORD_SIZE') {
    const message = `is longer than ${rowMaxBytes} bytes`;
    return new HttpProblem('too-large', `The row at line ${line} ${message}`, { errors: [{ line, message }] });
  }
  const message = csvFaults[error.code] ?? error.message.slice(0, 200);
  return new HttpProblem('malformed', `The body is no CSV: ${message} (line ${line})`, { errors: [{ line, message }] });
}
