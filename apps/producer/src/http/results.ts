import { once } from 'node:events';
import { resultsQuerySchema, resultStreamQuerySchema } from '@bullpen/api';
import type { BatchRow, Statements } from '@bullpen/db';
import type { Request, Response } from 'express';
import { sendText } from './answer.ts';
import { findBatch, hasEnded, sendPage } from './batches.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { HttpProblem } from './problem.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';
import { readResults, resultText } from './result-rows.ts';

/** A page ends early at this size, whatever its limit. */
const pageMaxBytes = 8 * 1024 * 1024;
/** Items are numbered by int4. */
const indexMax = 2 ** 31 - 1;

export interface ResultDeps {
  statements: Statements;
  settings: { outputMaxBytes: number };
}

/** `GET /v1/batches/{id}/results`: a page, or with `Accept: application/x-ndjson` the whole set as a stream. */
export function listResults(deps: ResultDeps): Route {
  return async (req, res) => {
    const type = req.accepts(['application/json', 'application/x-ndjson']);
    res.vary('Accept');
    if (type === 'application/x-ndjson') return streamResults(deps, req, res);
    if (type === 'application/json') return pageOfResults(deps, req, res);
    throw new HttpProblem(
      'not-acceptable',
      'Results come as application/json or application/x-ndjson (text/csv is not built yet)',
    );
  };
}

async function pageOfResults({ statements, settings }: ResultDeps, req: Request, res: Response): Promise<void> {
  const { status = 'all', limit, cursor } = readQuery(req, resultsQuerySchema);
  const { id, no } = await findBatch(statements, req);
  const scope = ['results', id, status];
  const after = cursor === undefined ? -1 : decodeCursor(scope, cursor);
  const texts: string[] = [];
  let bytes = 0;
  let last = after;
  for await (const rows of readResults(statements, {
    batch: no,
    status,
    after,
    outputMaxBytes: settings.outputMaxBytes,
    limit,
  })) {
    for (const { index, text } of rows) {
      if (texts.length === limit || bytes >= pageMaxBytes) return sendPage(res, texts, encodeCursor(scope, last));
      texts.push(text);
      bytes += text.length;
      last = index;
    }
  }
  sendPage(res, texts, null);
}

/**
 * The whole set in index order, at the pace of the client. Whether the batch has ended is asked before the first row:
 * later ends may have left rows behind the reader. What breaks off ends without the last chunk of HTTP.
 */
async function streamResults({ statements, settings }: ResultDeps, req: Request, res: Response): Promise<void> {
  const { status = 'all' } = readQuery(req, resultStreamQuerySchema);
  const batch = await findBatch(statements, req);
  res.setHeader('Content-Type', 'application/x-ndjson');
  if (req.method === 'HEAD') return void res.end();
  for await (const rows of readResults(statements, {
    batch: batch.no,
    status,
    after: -1,
    outputMaxBytes: settings.outputMaxBytes,
  })) {
    if (!(await writeAll(res, `${rows.map(({ text }) => text).join('\n')}\n`))) return;
  }
  res.end(isSettled(batch) ? undefined : '{"complete": false}\n');
}

/** A cancelled batch may still have items in a worker's hands. */
const isSettled = (batch: BatchRow): boolean => hasEnded(batch) && batch.running === 0;

/** Writes and waits until the client has taken it; false when the client has left. */
async function writeAll(res: Response, text: string): Promise<boolean> {
  if (res.destroyed) return false;
  if (res.write(text)) return true;
  const done = new AbortController();
  const { signal } = done;
  await Promise.race([once(res, 'drain', { signal }), once(res, 'close', { signal })]).finally(() => done.abort());
  return !res.destroyed;
}

/** `GET /v1/batches/{id}/results/{index}`: one result; 404 while there is none. */
export function showResult({ statements }: ResultDeps): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    const batch = await findBatch(statements, req);
    const index = indexOf(String(req.params['index']), batch.total);
    const { row, open } = await statements.outcome({ batch: batch.no, index });
    const found = row ?? (open ? whileOpen(batch, index) : acknowledged(batch, index));
    sendText(res, 200, 'application/json', resultText(found));
  };
}

function indexOf(text: string, total: number): number {
  const index = /^(0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : Infinity;
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
