import { randomInt } from 'node:crypto';
import type { AppendAnswer } from '@bullpen/api';
import { newId } from '@bullpen/api';
import type { BatchRow, UploadedChunk } from '@bullpen/db';
import type { Handler } from '@bullpen/handlers';
import type { BodyReader } from '../intake/body.ts';
import { createCheck } from '../intake/check.ts';
import { chunkSizeFor, growingSize } from '../intake/chunk.ts';
import { confirmed } from '../intake/confirmed.ts';
import { cutInputs } from '../intake/inputs.ts';
import { parseJson } from '../intake/json.ts';
import { cutLarge, largeChars, readLargeList } from '../intake/large-json.ts';
import { hashOf, keyOf, refuseOther, underKey } from '../intake/key.ts';
import { cutterFor, type Lines, linesFor } from '../intake/line-chunks.ts';
import { readLines } from '../intake/lines.ts';
import { type Media, mediaOf } from '../intake/media.ts';
import { findHandler } from '../intake/new-batch.ts';
import { readItems } from '../intake/read-items.ts';
import { decodeUtf8 } from '../intake/utf8.ts';
import { sendJson } from './answer.ts';
import { toBatch } from './batch-answer.ts';
import { findBatch } from './batches.ts';
import type { HttpDeps } from './deps.ts';
import { HttpProblem } from './problem.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';
import { readNothing } from './small-body.ts';

/** One append may have this many bytes and items. */
const appendMaxBytes = 8 * 1024 * 1024;
const appendMaxItems = 50_000;

/** `POST /v1/batches/{id}/items`: a JSON array or NDJSON, all or nothing. 202 says that it has committed. */
export function appendItems(deps: HttpDeps, withBody: BodyReader): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    const media = mediaOf(req, ['json', 'ndjson']);
    const key = keyOf(req);
    const hash = hashOf(req);
    const batch = await findBatch(deps.statements, req);
    if (batch.kind === 'jobs')
      throw new HttpProblem('invalid-state', 'The batch of single items takes them by POST /v1/jobs');
    if (key === null) refuseClosed(batch);
    const instead = 'append in several requests, each of at most 50 000 items';
    const rules = { maxBytes: appendMaxBytes, instead, hash, gzip: media.gzip };
    const answer = await withBody(req, rules, async (bytes): Promise<AppendAnswer> => {
      const chunks = await chunksOf(deps, batch, media, bytes);
      const count = chunks.reduce((items, { size }) => items + size, 0);
      const digest = hash.digest('hex');
      const appended = await underKey(deps.statements, { owner: batch.owner, key }, () => {
        deps.admission.admit(count);
        return append(deps, batch, chunks, key === null ? undefined : { key, hash: digest });
      });
      if ('answer' in appended) {
        const { first, known } = appended.answer;
        if (known && key !== null) res.setHeader('Idempotency-Replayed', 'true');
        return { batchId: batch.id, firstIndex: first, count };
      }
      refuseOther(appended.receipt, digest);
      res.setHeader('Idempotency-Replayed', 'true');
      return { batchId: appended.receipt.batch, firstIndex: appended.receipt.first ?? 0, count };
    });
    if (answer === undefined) return;
    deps.admission.took(answer.count);
    deps.onAccepted();
    sendJson(res, answer, 202);
  };
}

async function append(
  deps: HttpDeps,
  batch: BatchRow,
  chunks: readonly UploadedChunk[],
  key: { key: string; hash: string } | undefined,
): Promise<{ first: number; known: boolean }> {
  const unfinishedMax = deps.settings.maxItemsPerBatch;
  const appending = deps.statements.append({
    batch: batch.id,
    owner: batch.owner,
    id: newId(),
    chunks,
    unfinishedMax,
    key,
  });
  const appended = await confirmed(batch.id, appending);
  if (appended.first !== null) return appended;
  // As it is now: what the statement saw may be from before a close that it waited for.
  const found = appended.batch && (await deps.statements.counts(batch.id));
  if (found === null) throw new HttpProblem('not-found', 'There is no such batch');
  refuseClosed(found);
  throw new HttpProblem('too-large', `A batch may have ${unfinishedMax} unfinished items (MAX_ITEMS_PER_BATCH)`, {
    headers: { 'Retry-After': '5' },
  });
}

function refuseClosed({ sealed, state }: { sealed: boolean; state: string }): void {
  if (state === 'cancelled') throw new HttpProblem('invalid-state', 'The batch is cancelled');
  if (sealed) throw new HttpProblem('invalid-state', 'The batch takes no more items: it is closed, or was never open');
}

async function chunksOf(deps: HttpDeps, batch: BatchRow, { form }: Media, bytes: Buffer): Promise<UploadedChunk[]> {
  const handler = findHandler(deps.handlers, batch.handler);
  const chunks =
    form === 'json' ? await fromJson(deps, batch, handler, bytes) : await fromLines(deps, batch, handler, bytes);
  if (chunks.length > 0) return chunks;
  throw new HttpProblem('invalid', 'The body holds no items', { errors: [{ pointer: '', message: 'holds no items' }] });
}

async function fromJson(deps: HttpDeps, batch: BatchRow, handler: Handler, bytes: Buffer): Promise<UploadedChunk[]> {
  const text = decodeUtf8(bytes);
  const { turns } = deps.uploads;
  const maxBytes = deps.settings.chunkMaxBytes;
  const list = text.length < largeChars ? null : await readLargeList(text, turns);
  const sizes = sizesOf(deps, batch, handler);
  const lines = linesOf(deps, batch);
  if (list !== null) {
    if (list.size > appendMaxItems) throw tooMany({ pointer: `/${appendMaxItems}` });
    const large = chunkSizeFor({ total: list.size, ...sizes });
    return cutLarge(text, list, {
      handler,
      sizeFor: () => large,
      maxBytes,
      lines,
      turns,
      pointer: [],
    });
  }
  const inputs = parseJson(text);
  if (!Array.isArray(inputs))
    throw new HttpProblem('invalid', 'The body must be an array, one element for each item', {
      errors: [{ pointer: '', message: 'must be an array' }],
    });
  if (inputs.length > appendMaxItems) throw tooMany({ pointer: `/${appendMaxItems}` });
  const size = chunkSizeFor({ total: inputs.length, ...sizes });
  return cutInputs(inputs, { handler, sizeFor: () => size, maxBytes, lines, turns, pointer: [] });
}

async function fromLines(deps: HttpDeps, batch: BatchRow, handler: Handler, bytes: Buffer): Promise<UploadedChunk[]> {
  const maxBytes = deps.settings.chunkMaxBytes;
  const chunks: UploadedChunk[] = [];
  await readItems(readLines(one(bytes), { lineMaxBytes: maxBytes - 2 }), {
    handler: handler.name,
    check: createCheck(handler),
    cutter: cutterFor({
      sizeFor: growingSize(sizesOf(deps, batch, handler)),
      maxBytes,
      lines: linesOf(deps, batch),
    }),
    turns: deps.uploads.turns,
    itemsMax: appendMaxItems,
    tooMany: (line) => tooMany({ line }),
    maxBytes,
    onInvalid: 'refuse',
    store: async (cut) => void chunks.push(...cut),
  });
  return chunks;
}

const sizesOf = (deps: HttpDeps, { options }: BatchRow, handler: Handler) => ({
  asked: (options as { chunkSize?: number }).chunkSize,
  normal: handler.chunkSize ?? deps.settings.chunkSize,
  partitions: deps.installation.partitions,
  keyed: (options as { groupBy?: string }).groupBy !== undefined,
});

/** Where items without a key begin differs by chance: most appends are small. */
function linesOf({ installation: { partitions } }: HttpDeps, { options }: BatchRow): Lines | null {
  return linesFor(options as { groupBy?: string }, partitions, randomInt(partitions));
}

const tooMany = (place: { pointer: string } | { line: number }): HttpProblem =>
  new HttpProblem('too-large', `One append may have ${appendMaxItems} items`, {
    errors: [{ ...place, message: `is item ${appendMaxItems + 1}` }],
  });

async function* one(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/** `POST /v1/batches/{id}/close`: it takes no more items. Repeated it changes nothing. */
export function closeBatch(deps: HttpDeps, withBody: BodyReader): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    if (!(await readNothing(req, withBody))) return;
    const { id, kind } = await findBatch(deps.statements, req);
    if (kind === 'jobs') throw new HttpProblem('invalid-state', 'The batch of single items closes by itself');
    await deps.statements.close(id);
    sendJson(res, toBatch(await findBatch(deps.statements, req)));
  };
}
