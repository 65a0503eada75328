import type { NewBatch } from '@bullpen/db';
import type { Request, Response } from 'express';
import { acceptJson, readJsonBatch } from '../intake/accept-json.ts';
import { acceptStream, validateStream } from '../intake/accept-stream.ts';
import { type BodyReader, hasLeft } from '../intake/body.ts';
import { hashOf, keyOf, refuseOther, underKey } from '../intake/key.ts';
import { type Media, mediaOf } from '../intake/media.ts';
import { readStreamRequest } from '../intake/stream-request.ts';
import { decodeUtf8 } from '../intake/utf8.ts';
import { callerOf } from './access.ts';
import { sendJson } from './answer.ts';
import { freshBatch, toBatch } from './batch-answer.ts';
import type { HttpDeps } from './deps.ts';
import { HttpProblem } from './problem.ts';
import { queryNames } from './query.ts';
import type { Route } from './resource.ts';

/** A JSON body may have this many bytes. */
const jsonMaxBytes = 16 * 1024 * 1024;

/** `POST /v1/batches`: JSON is read whole, NDJSON and CSV are stored while they come. 202 says that the batch has committed. */
export function submitBatch(deps: HttpDeps, withBody: BodyReader): Route {
  return async (req, res) => {
    const media = mediaOf(req, ['json', 'ndjson', 'csv']);
    if (media.form === 'json') await submitJson(deps, withBody, req, res);
    else await submitStream(deps, media, req, res);
  };
}

async function submitJson(deps: HttpDeps, withBody: BodyReader, req: Request, res: Response): Promise<void> {
  refuseQuery(req);
  const { owner } = callerOf(req);
  const key = keyOf(req);
  const hash = key === null ? undefined : hashOf(req);
  const rules = { maxBytes: jsonMaxBytes, instead: 'send NDJSON, which may be of any length, or use count', hash };
  const accepted = await withBody(req, rules, async (bytes) => {
    const body = await readJsonBatch(decodeUtf8(bytes), deps);
    const digest = hash?.digest('hex');
    const under = await underKey(deps.statements, { owner, key }, () =>
      acceptJson(deps, { ...body, owner }, key === null ? undefined : { key, hash: digest! }),
    );
    if ('receipt' in under) refuseOther(under.receipt, digest!);
    return under;
  });
  if (accepted === undefined) return;
  await ('receipt' in accepted ? sendKnown(deps, res, accepted.receipt.batch) : sendNew(deps, res, accepted.answer));
}

async function submitStream(deps: HttpDeps, media: Media, req: Request, res: Response): Promise<void> {
  const said = readStreamRequest(req);
  try {
    if (said.validate === 'only') return sendJson(res, await validateStream(deps, req, said, media));
    const accepted = await acceptStream(deps, req, said, media);
    await ('receipt' in accepted ? sendKnown(deps, res, accepted.receipt.batch) : sendNew(deps, res, accepted.batch));
  } catch (error) {
    if (!hasLeft(req)) throw error;
  }
}

async function sendNew(deps: HttpDeps, res: Response, batch: NewBatch): Promise<void> {
  deps.onAccepted();
  // It is accepted: that it cannot be read back at once must not become an error.
  const row = await deps.statements.counts(batch.id).catch(() => null);
  res.setHeader('Location', `/v1/batches/${batch.id}`);
  sendJson(res, row === null ? freshBatch(batch) : toBatch(row), 202);
}

/** The answer to a request that came before, as the batch is now. */
async function sendKnown(deps: HttpDeps, res: Response, id: string): Promise<void> {
  const row = await deps.statements.counts(id);
  if (row === null) throw new HttpProblem('not-found', 'The batch of this Idempotency-Key is not there any more');
  res.setHeader('Location', `/v1/batches/${id}`);
  res.setHeader('Idempotency-Replayed', 'true');
  sendJson(res, toBatch(row), 202);
}

/** The query and the header Bullpen-Options belong to NDJSON and CSV; here everything stands in the body. */
function refuseQuery(req: Request): void {
  if (req.headers['bullpen-options'] !== undefined)
    throw new HttpProblem('invalid', 'With a JSON body params and options stand in the body', {
      errors: [{ message: 'the header Bullpen-Options goes with NDJSON and CSV' }],
    });
  const names = queryNames(req);
  if (names.length === 0) return;
  throw new HttpProblem('invalid', 'With a JSON body everything stands in the body, nothing in the query', {
    errors: names.map((name) => ({ pointer: `?${name}`, message: 'is not taken here' })),
  });
}
