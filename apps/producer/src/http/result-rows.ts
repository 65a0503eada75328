import { fingerprintOf, type ResultRow, type ResultsRequest, type Statements } from '@bullpen/db';
import { createItemInputs } from './item-inputs.ts';
import type { Form } from './result-forms.ts';

/** Rows of a read: at first, and at most. The next one asks for this many times those that were used. */
const rowsFirst = 64;
const rowsMax = 1000;
const growth = 4;

/** Whose results. */
export type Source = Pick<ResultsRequest, 'batch' | 'status'>;

/** Where a reader is: after this index, and how many rows its next read asks for. */
export interface Place {
  after: number;
  rows: number;
}

export const placeAfter = (after: number, used = rowsFirst / growth): Place => ({
  after,
  rows: Math.min(rowsMax, used * growth),
});

/**
 * The next part of a stream: some `maxBytes`, or one result, if that is more. What was read and does not go into it is
 * read again for the next one, so that between two parts a reader holds two numbers. Null: there are no more.
 */
export async function readPart(
  statements: Pick<Statements, 'results' | 'inputs'>,
  { source, place, form, maxBytes }: { source: Source; place: Place; form: Form; maxBytes: number },
): Promise<{ bytes: Buffer; next: Place } | null> {
  const rows = await statements.results({ ...source, after: place.after, limit: place.rows, maxBytes });
  const inputOf = form.inputs ? createItemInputs(statements, source.batch) : null;
  const records: string[][] = [];
  let size = 0;
  for (const row of rows) {
    const record = form.record(row, inputOf === null ? undefined : await inputOf(row.index));
    records.push(record);
    for (const text of record) size += text.length;
    if (size >= maxBytes) break;
  }
  const last = rows[records.length - 1];
  return last === undefined
    ? null
    : { bytes: Buffer.from(form.text(records)), next: placeAfter(last.index, records.length) };
}

/** A result as JSON in one line. Output and input are JSON text already and are not parsed and printed again. */
export function resultText(
  row: Omit<ResultRow, 'status' | 'finishedAt'> & { status: string; finishedAt: Date | null },
  input?: string,
): string {
  const { index, status, attempts, output, finishedAt } = row;
  const at = finishedAt === null ? 'null' : `"${finishedAt.toISOString()}"`;
  const given = input === undefined ? '' : `"input":${input},`;
  return `{"index":${index},${given}"status":"${status}","attempts":${attempts},"output":${oneLine(output)},"error":${errorText(row)},"finishedAt":${at}}`;
}

function errorText({ error, fingerprint }: Pick<ResultRow, 'error' | 'fingerprint'>): string {
  if (error === null) return 'null';
  const { code, message } = JSON.parse(error) as { code: string; message: string };
  // A row from before there were fingerprints has none.
  return JSON.stringify({ code, message, fingerprint: fingerprint ?? fingerprintOf({ code, message }) });
}

/** In JSON a line end can only stand between tokens. */
const oneLine = (json: string | null): string =>
  json === null ? 'null' : /[\r\n]/.test(json) ? json.replaceAll(/[\r\n]/g, ' ') : json;
