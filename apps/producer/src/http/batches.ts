import { type Batch, batchesQuerySchema, batchQuerySchema, isId } from '@bullpen/api';
import type { BatchRow, Statements } from '@bullpen/db';
import type { Request, Response } from 'express';
import type { BodyReader } from '../intake/body.ts';
import { callerOf } from './access.ts';
import { sendJson, sendText } from './answer.ts';
import { toBatch } from './batch-answer.ts';
import { decodeIdCursor, encodeCursor } from './cursor.ts';
import { hasTag, tagOf } from './etag.ts';
import { HttpProblem } from './problem.ts';
import type { HttpDeps } from './deps.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';
import { readNothing } from './small-body.ts';
import type { Summaries } from './summaries.ts';
import type { Watcher } from './watch.ts';

/** Rows of one read, and the bytes at which a page ends early: params may have 256 KiB each. */
const rowsPerRead = 100;
const pageMaxBytes = 8 * 1024 * 1024;

/** `GET /v1/batches`: newest first. */
export function listBatches(statements: Statements): Route {
  return async (req, res) => {
    const { state, handler, kind, limit, cursor } = readQuery(req, batchesQuerySchema);
    const { owner } = callerOf(req);
    const scope = ['batches', owner, state ?? '', handler ?? '', kind];
    let before = cursor === undefined ? undefined : decodeIdCursor(scope, cursor);
    const texts: string[] = [];
    let bytes = 0;
    for (let more = true; more;) {
      const wanted = Math.min(rowsPerRead, limit - texts.length);
      // One more than is shown says whether there is a next page.
      const rows = await statements.batches({ owner, kind, state, handler, before, limit: wanted + 1 });
      for (const row of rows.slice(0, wanted)) {
        const text = JSON.stringify(toBatch(row));
        texts.push(text);
        bytes += text.length;
        before = row.id;
      }
      more = rows.length > wanted;
      if (texts.length >= limit || bytes >= pageMaxBytes) {
        return sendPage(res, texts, more ? encodeCursor(scope, before!) : null);
      }
    }
    sendPage(res, texts, null);
  };
}

/** A page of items that are JSON text already. */
export const sendPage = (res: Response, texts: readonly string[], nextCursor: string | null): void =>
  sendText(res, 200, 'application/json', `{"items":[${texts.join(',')}],"nextCursor":${JSON.stringify(nextCursor)}}`);

/** `GET /v1/batches/{id}`: now, or when it ends, at the latest after `wait` seconds. */
export function showBatch(statements: Statements, watcher: Watcher, summaries: Summaries): Route {
  return async (req, res) => {
    const { wait } = readQuery(req, batchQuerySchema);
    const left = leftSignal(res);
    let batch = await findBatch(statements, req);
    if (wait > 0 && !hasEnded(batch)) {
      await watcher.wait(batch.id, wait * 1000, left);
      if (left.aborted) return;
      batch = await findBatch(statements, req);
    }
    const { row, ...summary } = await summaries.read(batch);
    sendFresh(req, res, toBatch(row, summary));
  };
}

/** The batch, or 304 to a client that has it as it is. */
function sendFresh(req: Request, res: Response, batch: Batch): void {
  const tag = tagOf(batch);
  res.setHeader('ETag', tag);
  // Not no-store, as elsewhere: a client has to keep what it compares, and asks each time whether it still holds.
  res.setHeader('Cache-Control', 'no-cache');
  if (!hasTag(req.headers['if-none-match'], tag)) return sendJson(res, batch);
  res.statusCode = 304;
  res.end();
}

/** `DELETE /v1/batches/{id}`: it has ended, and nobody sees it any more. Its space comes back by the loop that cleans up. */
export function deleteBatch(
  { statements, onDeleted }: Pick<HttpDeps, 'statements' | 'onDeleted'>,
  withBody: BodyReader,
): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    if (!(await readNothing(req, withBody))) return;
    const { id } = await findBatch(statements, req);
    const deleted = await statements.remove(id, callerOf(req).who);
    // One that was there and is not any more: another request, or a first try whose reply was lost, has deleted it.
    const left = deleted ? null : await statements.counts(id);
    if (left !== null) throw new HttpProblem('invalid-state', whyKept(left));
    onDeleted();
    res.statusCode = 204;
    res.end();
  };
}

const whyKept = ({ state, kind }: BatchRow): string =>
  kind === 'jobs'
    ? 'The batch of single items can be deleted when it is closed and completed: it closes by itself'
    : `The batch is ${state}: it can be deleted once it has ended; cancel it first`;

/** The batch that the path names; 404 where there is none, or it is another's. */
export async function findBatch(statements: Statements, req: Request): Promise<BatchRow> {
  const id = String(req.params['id']);
  const row = isId(id) ? await statements.counts(id) : null;
  if (row === null || row.owner !== callerOf(req).owner) throw new HttpProblem('not-found', 'There is no such batch');
  return row;
}

/** Nothing of it changes any more, but for a retry. A cancelled one may still have chunks in a worker's hands. */
const hasEnded = ({ state }: { state: Batch['state'] }): boolean => state === 'completed' || state === 'cancelled';

/** And no worker holds anything of it: its counts and results are what they stay. */
export const isSettled = (batch: Pick<BatchRow, 'state' | 'running'>): boolean =>
  hasEnded(batch) && batch.running === 0;

/** Aborted when the client has left. */
export function leftSignal(res: Response): AbortSignal {
  const left = new AbortController();
  if (res.destroyed) left.abort();
  else res.once('close', () => left.abort());
  return left.signal;
}
