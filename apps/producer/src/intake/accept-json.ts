import { type NewBatchBody, newId } from '@bullpen/api';
import type { NewBatch } from '@bullpen/db';
import type { Handler } from '@bullpen/handlers';
import type { HttpDeps } from '../http/deps.ts';
import { HttpProblem } from '../http/problem.ts';
import { chunkSizeFor } from './chunk.ts';
import { confirmed } from './confirmed.ts';
import { cutInputs } from './inputs.ts';
import { checkParams, effectiveOptions, findHandler, refuseMissingInputs } from './new-batch.ts';

/** Stores a batch whose body is here whole, in one statement. Throws KeyTaken where its key is another request's. */
export async function acceptJson(
  deps: HttpDeps,
  body: NewBatchBody,
  key: { key: string; hash: string } | undefined,
): Promise<NewBatch> {
  const handler = findHandler(deps.handlers, body.handler);
  if (body.count !== undefined) refuseMissingInputs(handler);
  const options = effectiveOptions(body.options);
  const batch: NewBatch = {
    id: (deps.newId ?? newId)(),
    name: body.name ?? null,
    handler: handler.name,
    total: body.count ?? body.inputs?.length ?? 0,
    params: checkParams(handler, body.params),
    options: JSON.stringify(options),
    open: body.options?.open === true,
    key,
  };
  const size = chunkSizeFor({
    total: batch.total,
    asked: options.chunkSize,
    normal: handler.chunkSize ?? deps.settings.chunkSize,
    partitions: deps.installation.partitions,
  });
  if (body.count === undefined) await acceptInputs(deps, batch, { handler, inputs: body.inputs ?? [], size });
  else {
    refuseManyChunks(Math.ceil(batch.total / size), deps);
    await confirmed(batch.id, deps.statements.acceptCount(batch, size));
  }
  return batch;
}

async function acceptInputs(
  deps: HttpDeps,
  batch: NewBatch,
  { inputs, ...rules }: { handler: Handler; inputs: readonly unknown[]; size: number },
): Promise<void> {
  const { turns } = deps.uploads;
  const maxBytes = deps.settings.chunkMaxBytes;
  const chunks = await cutInputs(inputs, { ...rules, maxBytes, turns, pointer: ['inputs'] });
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
