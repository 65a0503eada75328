import { fingerprintOf, type ResultRow, type Statements } from '@bullpen/db';

/** Bytes that one read should bring, and rows of a read at most. */
const readBytes = 2 * 1024 * 1024;
const rowsMax = 1000;
/** The first read knows nothing of the outputs: all of them at their largest may bring this much. */
const firstReadBytes = 32 * 1024 * 1024;
/** The next read brings at most this many times the rows of the last one. */
const growth = 4;

export interface ResultRange {
  /** The batch's number. */
  batch: number;
  status: 'all' | 'succeeded' | 'failed';
  /** Index after which it starts; −1: from the start. */
  after: number;
  outputMaxBytes: number;
  /** More rows than these are not wanted; the last read may bring one more, by which one sees that there is more. */
  limit?: number;
}

/**
 * Results as texts, read by key in index order. How many rows a read asks for follows the size of the last ones, so
 * that memory stays flat with outputs of 1 MiB as with those of 10 bytes. Between two reads no connection is held.
 */
export async function* readResults(
  statements: Statements,
  range: ResultRange,
): AsyncGenerator<{ index: number; text: string }[]> {
  let { after } = range;
  let wanted = (range.limit ?? Infinity) + 1;
  let limit = Math.max(1, Math.min(rowsMax, wanted, Math.floor(firstReadBytes / range.outputMaxBytes)));
  for (;;) {
    const rows = await statements.results({ batch: range.batch, status: range.status, after, limit });
    const last = rows.at(-1);
    if (last === undefined) return;
    const texts = rows.map((row) => ({ index: row.index, text: resultText(row) }));
    yield texts;
    wanted -= rows.length;
    if (rows.length < limit || wanted <= 0) return;
    after = last.index;
    const bytes = texts.reduce((sum, { text }) => sum + text.length, 0);
    const fitting = Math.floor((readBytes * rows.length) / bytes);
    limit = Math.max(1, Math.min(rowsMax, wanted, limit * growth, fitting));
  }
}

/** A result as JSON in one line. The output is JSON text already and is not parsed and printed again. */
export function resultText(
  row: Omit<ResultRow, 'status' | 'finishedAt'> & { status: string; finishedAt: Date | null },
): string {
  const { index, status, attempts, output, finishedAt } = row;
  const at = finishedAt === null ? 'null' : `"${finishedAt.toISOString()}"`;
  return `{"index":${index},"status":"${status}","attempts":${attempts},"output":${oneLine(output)},"error":${errorText(row)},"finishedAt":${at}}`;
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
