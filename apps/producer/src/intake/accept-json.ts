import { type NewBatchBody, newId } from '@bullpen/api';
import type { NewBatch, UploadedChunk } from '@bullpen/db';
import type { HttpDeps } from '../http/deps.ts';
import { HttpProblem } from '../http/problem.ts';
import { chunkSizeFor, heldAt } from './chunk.ts';
import { confirmed } from './confirmed.ts';
import { cutInputs, type InputRules } from './inputs.ts';
import { parseJson } from './json.ts';
import { cutLarge, largeChars, readLarge } from './large-json.ts';
import { refusePast } from './key.ts';
import { linesFor, refuseNoKeys } from './line-chunks.ts';
import {
  checkNewBatch,
  checkParams,
  effectiveOptions,
  findHandler,
  refuseMissingInputs,
  refuseNoDryRun,
} from './new-batch.ts';
import { webhookOf } from './webhook.ts';

/** A body as a batch, and how its inputs become chunks. */
export interface JsonBatch {
  body: NewBatchBody;
  total: number;
  cut: (rules: InputRules) => Promise<UploadedChunk[]>;
}

/** Reads a body: a large one in slices, so that other requests are served. */
export async function readJsonBatch(text: string, { settings, uploads }: HttpDeps): Promise<JsonBatch> {
  const itemsMax = settings.maxItemsPerBatch;
  const large = text.length < largeChars ? null : await readLarge(text, uploads.turns);
  if (large === null) {
    const body = checkNewBatch(parseJson(text), { itemsMax });
    const inputs = body.inputs ?? [];
    return { body, total: body.count ?? inputs.length, cut: (rules) => cutInputs(inputs, rules) };
  }
  const { list } = large;
  const body = checkNewBatch(large.body, { itemsMax, inputs: list.size });
  return { body, total: list.size, cut: (rules) => cutLarge(text, list, rules) };
}

/** Stores a batch whose body is here whole, in one statement. Throws KeyTaken where its key is another request's. */
export async function acceptJson(
  deps: HttpDeps,
  { owner, body, total, cut }: JsonBatch & { owner: string },
  key: { key: string; hash: string } | undefined,
): Promise<NewBatch> {
  deps.admission.admit(total);
  refusePast(body.options ?? {});
  const handler = findHandler(deps.handlers, body.handler);
  refuseNoDryRun(handler, body.options);
  const webhook = webhookOf(body.options, deps.settings);
  if (body.count !== undefined) refuseMissingInputs(handler);
  const options = effectiveOptions(body.options);
  const batch: NewBatch = {
    id: (deps.newId ?? newId)(),
    owner,
    name: body.name ?? null,
    handler: handler.name,
    total,
    params: checkParams(handler, body.params),
    options: JSON.stringify(options),
    open: body.options?.open === true,
    keyed: options.groupBy !== undefined,
    webhook,
    key,
  };
  const { partitions } = deps.installation;
  const lines = linesFor(options, partitions);
  const size = chunkSizeFor({
    total: batch.total,
    asked: options.chunkSize,
    normal: handler.chunkSize ?? deps.settings.chunkSize,
    partitions,
    keyed: lines !== null,
  });
  if (body.count === undefined)
    await acceptInputs(
      deps,
      batch,
      { handler, sizeFor: heldAt(options.canary, () => size), lines },
      options.groupBy,
      cut,
    );
  else {
    refuseManyChunks(Math.ceil(batch.total / size), deps);
    await confirmed(batch.id, deps.statements.acceptCount(batch, size));
  }
  deps.admission.took(total);
  return batch;
}

async function acceptInputs(
  deps: HttpDeps,
  batch: NewBatch,
  rules: Pick<InputRules, 'handler' | 'sizeFor' | 'lines'>,
  groupBy: string | undefined,
  cut: JsonBatch['cut'],
): Promise<void> {
  const { turns } = deps.uploads;
  const maxBytes = deps.settings.chunkMaxBytes;
  const chunks = await cut({ ...rules, maxBytes, turns, pointer: ['inputs'] });
  if (!batch.open) refuseNoKeys(rules.lines, groupBy);
  refuseManyChunks(chunks.length, deps);
  await confirmed(batch.id, deps.statements.acceptInputs(batch, chunks));
}

export function refuseManyChunks(chunks: number, deps: Pick<HttpDeps, 'settings'>): void {
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
