import type { EffectiveOptions } from '@bullpen/api';
import type { ResultRow } from '@bullpen/db';
import { stringify } from 'csv-stringify/sync';
import { resultText } from './result-rows.ts';

/** How a stream writes results down. */
export interface Form {
  type: string;
  inputs: boolean;
  /** What comes before the first one. */
  head: string;
  /** A result as its texts; `input` is undefined where there is none, or none is wanted. */
  record: (row: ResultRow, input: unknown) => string[];
  /** Many of them as they are sent. */
  text: (records: readonly string[][]) => string;
  /** What ends the results of a batch that still runs. */
  incomplete: string;
}

/** A JSON line each: a result, a result with its input, or an input. */
export const linesForm = ({ inputs }: { inputs: 'true' | 'false' | 'only' }): Form => ({
  type: 'application/x-ndjson',
  inputs: inputs !== 'false',
  head: '',
  record: (row, input) => {
    const text = inputs === 'false' ? undefined : JSON.stringify(input ?? null);
    return [inputs === 'only' ? text! : resultText(row, text)];
  },
  text: (records) => `${records.join('\n')}\n`,
  // Among inputs it would be submitted again as one of them.
  incomplete: inputs === 'only' ? '' : '{"complete": false}\n',
});

const resultColumns = ['index', 'status', 'attempts', 'output', 'errorCode', 'errorMessage', 'finishedAt'];

/**
 * A row each. Inputs stand in the columns that they came in, so that `inputs=only` can be submitted again; the inputs of a
 * batch that was no CSV are JSON in one column.
 */
export function csvForm(
  query: { inputs: 'true' | 'false' | 'only'; escapeFormulas: boolean },
  { columns }: Pick<EffectiveOptions, 'columns'>,
): Form {
  const ofInput = query.inputs === 'false' ? [] : (columns ?? ['input']);
  // A name that stands twice would be read as the wrong one.
  const ofResult = (query.inputs === 'only' ? [] : resultColumns).map((name) =>
    ofInput.includes(name) ? `result.${name}` : name,
  );
  const all = [...ofInput, ...ofResult];
  const text = (records: readonly string[][]): string =>
    stringify(records as string[][], {
      escape_formulas: query.escapeFormulas,
      // The only cell of a row would be an empty line, which readers of CSV leave out.
      quoted_empty: all.length === 1,
    });
  const inputCells = (input: unknown): string[] =>
    columns === undefined ? [jsonCell(input)] : cellsOf(input, columns, query.inputs === 'only');
  return {
    type: 'text/csv; charset=utf-8',
    inputs: ofInput.length > 0,
    head: text([all]),
    record: (row, input) => [
      ...(ofInput.length > 0 ? inputCells(input) : []),
      ...(ofResult.length > 0 ? resultCells(row) : []),
    ],
    text,
    incomplete: '',
  };
}

function resultCells({ index, status, attempts, output, error, finishedAt }: ResultRow): string[] {
  const { code, message } = error === null ? noError : (JSON.parse(error) as typeof noError);
  return [String(index), status, String(attempts), output ?? '', code, message, finishedAt.toISOString()];
}

const noError = { code: '', message: '' };

/** A row that had too few or too many cells is a list of them: alone it is written as it came. */
function cellsOf(input: unknown, columns: readonly string[], alone: boolean): string[] {
  if (!Array.isArray(input)) return columns.map((column) => cellOf(input, column));
  const cells = input.map(textCell);
  return alone ? cells : columns.map((_, at) => cells[at] ?? '');
}

const cellOf = (input: unknown, column: string): string =>
  typeof input === 'object' && input !== null && Object.hasOwn(input, column)
    ? textCell((input as Record<string, unknown>)[column])
    : '';

const textCell = (value: unknown): string => (typeof value === 'string' ? value : jsonCell(value));
const jsonCell = (value: unknown): string => (value === undefined ? '' : JSON.stringify(value));
