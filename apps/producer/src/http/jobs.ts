import { jobQuerySchema, type JobAnswer } from '@bullpen/api';
import type { BodyReader } from '../intake/body.ts';
import { createCheck } from '../intake/check.ts';
import { confirmed } from '../intake/confirmed.ts';
import type { Jobs } from '../intake/jobs.ts';
import { parseJson } from '../intake/json.ts';
import { hashOf, keyOf, refuseOther, underKey } from '../intake/key.ts';
import { mediaOf } from '../intake/media.ts';
import { checkParams, findHandler } from '../intake/new-batch.ts';
import { decodeUtf8 } from '../intake/utf8.ts';
import { callerOf } from './access.ts';
import { sendJson, sendText } from './answer.ts';
import { leftSignal } from './batches.ts';
import type { HttpDeps } from './deps.ts';
import type { ItemWatcher } from './item-watch.ts';
import { HttpProblem } from './problem.ts';
import { readQuery } from './query.ts';
import type { Route } from './resource.ts';
import { resultText } from './result-rows.ts';
import { acknowledged } from './results.ts';

/**
 * `POST /v1/jobs/{handler}`: the body is the input of one item. 202 says that it has committed; with `wait` 200 and its
 * result, if that is there in time.
 */
export function submitJob(deps: HttpDeps, tools: { withBody: BodyReader; jobs: Jobs; watcher: ItemWatcher }): Route {
  return async (req, res) => {
    const left = leftSignal(res);
    const { wait } = readQuery(req, jobQuerySchema);
    const handler = findHandler(deps.handlers, String(req.params['handler']));
    mediaOf(req, ['json']);
    checkParams(handler, undefined);
    const { owner } = callerOf(req);
    const key = keyOf(req);
    const hash = key === null ? undefined : hashOf(req, req.path);
    const maxBytes = deps.settings.chunkMaxBytes - 2;
    const rules = { maxBytes, instead: 'CHUNK_MAX_BYTES bounds one input', hash };
    const placed = await tools.withBody(req, rules, async (bytes) => {
      const input = inputOf(handler, bytes);
      const digest = hash?.digest('hex');
      const job = { input, key: key === null ? undefined : { key, hash: digest! } };
      const under = await underKey(deps.statements, { owner, key }, () => {
        deps.admission.admit(1);
        return confirmed('a single item', tools.jobs.add({ owner, handler: handler.name }, job));
      });
      const found = 'answer' in under ? under.answer : { ...under.receipt, index: under.receipt.first };
      if (found.hash !== null) refuseOther(found, digest!);
      return { ...found, index: found.index! };
    });
    if (placed === undefined) return;
    // Under another request's key it was refused.
    const { batch, index, hash: known } = placed;
    if (known !== null) res.setHeader('Idempotency-Replayed', 'true');
    deps.admission.took(1);
    deps.onAccepted();
    // It is stored: that its result cannot be waited for must not become an error.
    const waiting = wait > 0 ? resultWithin(wait * 1000, { batch, index }, left) : Promise.resolve(null);
    const result = await waiting.catch(() => null);
    if (left.aborted) return;
    if (result !== null) return sendText(res, 200, 'application/json', resultText(result));
    const answer: JobAnswer = { batchId: batch, index };
    res.setHeader('Location', `/v1/batches/${batch}/results/${index}`);
    sendJson(res, answer, 202);
  };

  async function resultWithin(ms: number, item: { batch: string; index: number }, left: AbortSignal) {
    const no = await tools.watcher.wait(item, ms, left);
    return no === null ? null : outcomeOf(deps.statements, { ...item, no });
  }
}

/** The text of the input as it came, once it is known to be one. */
function inputOf(handler: Parameters<typeof createCheck>[0] & { name: string }, bytes: Buffer): string {
  const text = decodeUtf8(bytes);
  parseJson(text);
  const { faults } = createCheck(handler)(text, 1);
  if (faults === null) return text;
  const errors = faults.errors.map(({ pointer = '', message }) => ({ pointer, message }));
  throw new HttpProblem('invalid', `The input does not fit the handler ${handler.name}`, { errors });
}

/** The result of an item that is final; null when its batch is gone since. */
async function outcomeOf(
  { counts, outcome }: HttpDeps['statements'],
  { batch: id, no, index }: { batch: string; no: number; index: number },
) {
  const { row } = await outcome({ batch: no, index });
  if (row !== null) return row;
  const batch = await counts(id);
  return batch === null ? null : acknowledged(batch, index);
}
