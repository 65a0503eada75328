import {
  type EffectiveOptions,
  indexMax,
  resultCsvQuerySchema,
  resultLinesQuerySchema,
  resultsQuerySchema,
} from '@bullpen/api';
import type { BatchRow, Statements } from '@bullpen/db';
import type { Request, Response } from 'express';
import { sendText } from './answer.ts';
import { findBatch, isSettled, sendPage } from './batches.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { HttpProblem } from './problem.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';
import { csvForm, type Form, linesForm } from './result-forms.ts';
import { placeAfter, resultText, type Source } from './result-rows.ts';
import type { ResultStreams } from './result-stream.ts';

/** A page ends early at this size, whatever its limit. */
const pageMaxBytes = 8 * 1024 * 1024;

interface StreamQuery {
  status?: Source['status'] | undefined;
  cursor?: string | undefined;
  after?: number | undefined;
}

/** `GET /v1/batches/{id}/results`: a page, or as `Accept` says the whole set as a stream of JSON lines or of CSV. */
export function listResults(statements: Statements, stream: ResultStreams): Route {
  return async (req, res) => {
    res.vary('Accept');
    const type = req.accepts(['application/json', 'application/x-ndjson', 'text/csv']);
    if (type === 'application/json') return pageOfResults(statements, req, res);
    if (type === 'application/x-ndjson') {
      const query = readQuery(req, resultLinesQuerySchema);
      return wholeSet(req, res, query, () => linesForm(query));
    }
    if (type === 'text/csv') {
      const query = readQuery(req, resultCsvQuerySchema);
      return wholeSet(req, res, query, (options) => csvForm(query, options));
    }
    throw new HttpProblem('not-acceptable', 'Results come as application/json, application/x-ndjson or text/csv');
  };

  /** Whether the batch has ended is asked before the first row: later ends may have left rows behind the reader. */
  async function wholeSet(
    req: Request,
    res: Response,
    { status = 'all', cursor, after = -1 }: StreamQuery,
    formOf: (options: Pick<EffectiveOptions, 'columns'>) => Form,
  ): Promise<void> {
    const batch = await findBatch(statements, req);
    await stream(req, res, {
      source: { batch: batch.no, status },
      after: cursor === undefined ? after : decodeCursor(['results', batch.id, status], cursor),
      form: formOf(batch.options as EffectiveOptions),
      complete: isSettled(batch),
    });
  }
}

async function pageOfResults(statements: Statements, req: Request, res: Response): Promise<void> {
  const { status = 'all', limit, cursor } = readQuery(req, resultsQuerySchema);
  const { id, no } = await findBatch(statements, req);
  const scope = ['results', id, status];
  let place = placeAfter(cursor === undefined ? -1 : decodeCursor(scope, cursor));
  const texts: string[] = [];
  let bytes = 0;
  for (;;) {
    // One more than is shown says whether there is a next page.
    const wanted = Math.min(place.rows, limit + 1 - texts.length);
    const rows = await statements.results({
      batch: no,
      status,
      after: place.after,
      limit: wanted,
      maxBytes: pageMaxBytes,
    });
    if (rows.length === 0) return sendPage(res, texts, null);
    for (const row of rows) {
      if (texts.length === limit || bytes >= pageMaxBytes)
        return sendPage(res, texts, encodeCursor(scope, place.after));
      const text = resultText(row);
      texts.push(text);
      bytes += text.length;
      place = placeAfter(row.index, rows.length);
    }
  }
}

/** `GET /v1/batches/{id}/results/{index}`: one result; 404 while there is none. */
export function showResult(statements: Statements): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    const batch = await findBatch(statements, req);
    const index = indexOf(String(req.params['index']), batch.total);
    const { row, open, gone } = await statements.outcome({ batch: batch.no, index });
    if (gone) throw new HttpProblem('not-found', `Item ${index} was kept for RETENTION_DAYS and is gone`);
    const found = row ?? (open ? whileOpen(batch, index) : acknowledged(batch, index));
    sendText(res, 200, 'application/json', resultText(found));
  };
}

function indexOf(text: string, total: number): number {
  const index = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Infinity;
  if (index < total && index <= indexMax) return index;
  throw new HttpProblem('not-found', `There is no such item: the batch has 0 to ${total - 1}`);
}

/** An unfinished item has a result only when its batch was cancelled and no worker holds anything of it. */
function whileOpen(batch: BatchRow, index: number) {
  const { finishedAt } = batch;
  if (batch.state !== 'cancelled' || batch.running > 0)
    throw new HttpProblem('not-found', `Item ${index} has no result yet`);
  return { index, status: 'cancelled', attempts: 0, output: null, error: null, fingerprint: null, finishedAt };
}

/** It is done and has no row: its handler returned nothing. */
export const acknowledged = ({ finishedAt }: BatchRow, index: number) => ({
  index,
  status: 'succeeded',
  attempts: 1,
  output: null,
  error: null,
  fingerprint: null,
  finishedAt,
});
