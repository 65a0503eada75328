import { type NewBatchBody, newId, optionsNotBuilt } from '@bullpen/api';
import { mayHaveCommitted, type NewBatch } from '@bullpen/db';
import type { Handler } from '@bullpen/handlers';
import type { Request } from 'express';
import { sendJson } from './answer.ts';
import { freshBatch, toBatch } from './batch-answer.ts';
import { type BodyReader, checkJsonType } from './body.ts';
import { chunkSizeFor } from './chunk.ts';
import { SilentDatabase } from './deadline.ts';
import type { HttpDeps } from './deps.ts';
import { cutInputs, refuseLargeInput } from './inputs.ts';
import { parseJson } from './json.ts';
import { checkNewBatch, checkParams, effectiveOptions, findHandler, refuseMissingInputs } from './new-batch.ts';
import { HttpProblem, NoAnswer } from './problem.ts';
import { queryNames } from './query.ts';
import type { Route } from './resource.ts';
import { decodeUtf8 } from './utf8.ts';

/** `POST /v1/batches`: the body is read and checked whole, then stored in one statement. 202 says that this has committed. */
export function submitBatch(deps: HttpDeps, withBody: BodyReader): Route {
  return async (req, res) => {
    refuseNotBuilt(req);
    checkJsonType(req);
    refuseQuery(req);
    const batch = await withBody(req, async (bytes) =>
      accept(deps, checkNewBatch(parseJson(decodeUtf8(bytes)), { itemsMax: deps.settings.maxItemsPerBatch })),
    );
    if (batch === undefined) return;
    deps.onAccepted();
    // It is accepted: that it cannot be read back at once must not become an error.
    const row = await deps.statements.counts(batch.id).catch(() => null);
    res.setHeader('Location', `/v1/batches/${batch.id}`);
    sendJson(res, row === null ? freshBatch(batch) : toBatch(row), 202);
  };
}

async function accept(deps: HttpDeps, body: NewBatchBody): Promise<NewBatch> {
  const handler = findHandler(deps.handlers, body.handler);
  if (body.inputs === undefined) refuseMissingInputs(handler);
  const options = effectiveOptions(body.options);
  const batch: NewBatch = {
    id: (deps.newId ?? newId)(),
    name: body.name ?? null,
    handler: handler.name,
    total: body.count ?? body.inputs!.length,
    params: checkParams(handler, body.params),
    options: JSON.stringify(options),
  };
  const size = chunkSizeFor({
    total: batch.total,
    asked: options.chunkSize,
    normal: handler.chunkSize ?? deps.settings.chunkSize,
    partitions: deps.installation.partitions,
  });
  try {
    if (body.inputs === undefined) await acceptCount(deps, batch, size);
    else await acceptInputs(deps, batch, { handler, inputs: body.inputs, size });
  } catch (error) {
    // It may be there and run: any answer could be a lie.
    throw mayHaveCommitted(error) || error instanceof SilentDatabase ? new NoAnswer(batch.id, { cause: error }) : error;
  }
  return batch;
}

async function acceptCount(deps: HttpDeps, batch: NewBatch, size: number): Promise<void> {
  refuseManyChunks(Math.ceil(batch.total / size), deps);
  await deps.statements.acceptCount(batch, size);
}

async function acceptInputs(
  deps: HttpDeps,
  batch: NewBatch,
  given: { handler: Handler; inputs: readonly unknown[]; size: number },
): Promise<void> {
  const { handler, inputs, size } = given;
  const maxBytes = deps.settings.chunkMaxBytes;
  const chunks = await cutInputs(inputs, { handler, size, maxBytes }).catch((error: unknown) =>
    refuseLargeInput(error, maxBytes),
  );
  refuseManyChunks(chunks.length, deps);
  await deps.statements.acceptInputs(batch, chunks);
}

function refuseManyChunks(chunks: number, deps: HttpDeps): void {
  const { maxChunksPerBatch } = deps.settings;
  if (chunks <= maxChunksPerBatch) return;
  throw new HttpProblem(
    'invalid',
    `A batch may have ${maxChunksPerBatch} chunks (MAX_CHUNKS_PER_BATCH), this one would have ${chunks}`,
    {
      errors: [{ pointer: '/options/chunkSize', message: 'must be larger for so many items' }],
    },
  );
}

/** What the contract promises and this release does not do yet is refused by name. */
function refuseNotBuilt({ headers }: Request): void {
  if (headers['idempotency-key'] !== undefined) {
    throw new HttpProblem('unsupported-option', 'The header Idempotency-Key is not built yet', {
      errors: [{ message: 'the header Idempotency-Key is not built yet' }],
    });
  }
  if (headers['bullpen-options'] !== undefined) {
    throw new HttpProblem(
      'unsupported-media-type',
      'The header Bullpen-Options goes with NDJSON and CSV, which are not built yet; send the header Content-Type: application/json, and params and options in the body',
    );
  }
}

const streamParameters = new Set([
  'handler',
  'name',
  'validate',
  'params',
  'options',
  'chunkSize',
  'maxAttempts',
  'backoffMs',
  'timeoutMs',
  'seed',
  ...optionsNotBuilt,
]);

/** The query belongs to uploads as NDJSON and CSV; here everything stands in the body. */
function refuseQuery(req: Request): void {
  const names = queryNames(req);
  if (names.length === 0) return;
  const known = names.some((name) => streamParameters.has(name));
  throw new HttpProblem(
    known ? 'unsupported-option' : 'invalid',
    'With a JSON body everything stands in the body, nothing in the query',
    {
      errors: names.map((name) => ({ pointer: `?${name}`, message: 'is not taken here' })),
    },
  );
}
