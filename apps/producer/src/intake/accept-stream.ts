import { type NewStream, newId } from '@bullpen/api';
import type { NewBatch, Receipt } from '@bullpen/db';
import type { Handler } from '@bullpen/handlers';
import type { Request } from 'express';
import { callerOf } from '../http/access.ts';
import type { HttpDeps } from '../http/deps.ts';
import { HttpProblem } from '../http/problem.ts';
import { queryNames } from '../http/query.ts';
import { refuseManyChunks } from './accept-json.ts';
import { hashOf, keyOf, refuseOther, refusePast } from './key.ts';
import { refuseNoKeys } from './line-chunks.ts';
import type { Media } from './media.ts';
import { checkParams, effectiveOptions, findHandler, refuseNoDryRun } from './new-batch.ts';
import { readBody } from './source.ts';
import { readStream, type Stream, upload } from './upload.ts';
import { webhookOf } from './webhook.ts';

/** A body of so many bytes, as it is sent, gets a range of batch numbers of its own: its space comes back at once. */
const largeBytes = 32 * 1024 * 1024;

/** A stream as a request asks for it, checked but for its body. */
function streamOf(req: Request, said: NewStream, { media, handler }: { media: Media; handler: Handler }) {
  const key = keyOf(req);
  const hash = key === null ? undefined : hashOf(req);
  const stream: Stream = {
    form: media.form,
    body: readBody(req, { hash, gzip: media.gzip }),
    handler,
    chunkSize: said.options?.chunkSize,
    groupBy: said.options?.groupBy,
    canary: said.options?.canary,
    onInvalid: said.options?.onInvalid ?? 'refuse',
  };
  return { key, hash, stream };
}

/** NDJSON or CSV that is only looked at: how many lines there are, and the first hundred faults. Nothing is stored. */
export async function validateStream(deps: HttpDeps, req: Request, said: NewStream, media: Media) {
  const handler = findHandler(deps.handlers, said.handler);
  refuseNoDryRun(handler, said.options);
  webhookOf(said.options, deps.settings);
  checkParams(handler, said.params);
  refusePastOf(req, said.options ?? {});
  const { stream } = streamOf(req, said, { media, handler });
  const leave = deps.uploads.enter();
  try {
    const { items, errors, lines } = await readStream(deps, { ...stream, onInvalid: 'tell' }, async () => undefined);
    if (items > 0 && said.options?.open !== true) refuseNoKeys(lines, stream.groupBy);
    return { lines: items, errors };
  } finally {
    leave();
  }
}

/** NDJSON or CSV as a batch, which is stored while it comes. Answers it, or the receipt of an earlier request with its key. */
export async function acceptStream(
  deps: HttpDeps,
  req: Request,
  said: NewStream,
  media: Media,
): Promise<{ batch: NewBatch } | { receipt: Receipt }> {
  const handler = findHandler(deps.handlers, said.handler);
  refuseNoDryRun(handler, said.options);
  const webhook = webhookOf(said.options, deps.settings);
  const { stream, key, hash } = streamOf(req, said, { media, handler });
  const id = (deps.newId ?? newId)();
  const { owner } = callerOf(req);
  const params = checkParams(handler, said.params);
  const options = effectiveOptions(said.options);
  const open = said.options?.open === true;
  const leave = deps.uploads.enter();
  try {
    const accepted = await upload(deps, stream, {
      id,
      owner,
      key,
      hash,
      admit() {
        deps.admission.admit(1);
        refusePastOf(req, options);
      },
      large: Number(req.headers['content-length'] ?? 0) >= largeBytes,
      finish({ items, skipped, chunks, columns, lines }) {
        if (items === 0 && !open) throw noItems();
        if (!open && items > skipped) refuseNoKeys(lines, options.groupBy);
        refuseManyChunks(chunks, deps);
        deps.admission.admit(items - skipped);
        const all = { ...options, ...(columns !== null && { columns }) };
        return {
          id,
          owner,
          name: said.name ?? null,
          handler: handler.name,
          total: items,
          params,
          options: JSON.stringify(all),
          open,
          keyed: options.groupBy !== undefined,
          webhook,
        };
      },
    });
    if ('batch' in accepted) deps.admission.took(accepted.batch.total);
    if ('receipt' in accepted) refuseOther(accepted.receipt, await restOf(stream.body, hash!));
    return accepted;
  } finally {
    leave();
  }
}

/** It may stand in the query or in the header. */
const refusePastOf = (req: Request, options: { notBefore?: string | undefined }): void =>
  refusePast(options, queryNames(req).includes('notBefore') ? '?notBefore' : undefined);

/** The hash of a body of which nothing was read yet. */
async function restOf(body: AsyncIterable<Buffer>, hash: ReturnType<typeof hashOf>): Promise<string> {
  for await (const _ of body) continue;
  return hash.digest('hex');
}

const noItems = (): HttpProblem =>
  new HttpProblem('invalid', 'The body holds no items', {
    errors: [{ line: 1, message: 'there is no line with an input' }],
  });
