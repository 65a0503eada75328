import { batchChangeSchema, type HandlerLimits, handlerLimitsSchema } from '@bullpen/api';
import type { HandlerLimit } from '@bullpen/db';
import type { BodyReader } from '../intake/body.ts';
import { callerOf } from './access.ts';
import { sendJson } from './answer.ts';
import { toBatch } from './batch-answer.ts';
import { findBatch } from './batches.ts';
import type { HttpDeps } from './deps.ts';
import { HttpProblem } from './problem.ts';
import type { Route } from './resource.ts';
import { readSmall } from './small-body.ts';

const changeable = 'name, and in options rateLimit, concurrency, priority, weight, maxFailures and maxFailureRate';
const limitable = 'rateLimit and concurrency';

/**
 * `PATCH /v1/batches/{id}`: its name, and its limits while it runs. Workers look at least each second; what runs already goes on.
 */
export function changeBatch(deps: Pick<HttpDeps, 'statements' | 'onAccepted'>, withBody: BodyReader): Route {
  return async (req, res) => {
    const { no, kind, state } = await findBatch(deps.statements, req);
    if (kind === 'jobs')
      throw new HttpProblem(
        'invalid-state',
        'The batch of single items goes by the limits of its handler: PUT /v1/handlers/{name}/limits',
      );
    const changed = await readSmall(req, withBody, batchChangeSchema, changeable, async ({ name, options = {} }) =>
      deps.statements.change({
        batch: no,
        options,
        ...(name !== undefined && { name }),
        who: callerOf(req).who,
      }),
    );
    if (changed === undefined) return;
    const batch = await findBatch(deps.statements, req);
    if (!changed)
      throw new HttpProblem('invalid-state', `The batch is ${batch.state ?? state}: it does not change any more`);
    // What a limit kept back may be published now.
    deps.onAccepted();
    sendJson(res, toBatch(batch));
  };
}

/** `PUT /v1/handlers/{name}/limits`: what all batches of a handler together may do; what is left out is not limited. */
export function limitHandler(
  deps: Pick<HttpDeps, 'statements' | 'handlers' | 'onAccepted'>,
  withBody: BodyReader,
): Route {
  return async (req, res) => {
    const handler = String(req.params['name']);
    if (!deps.handlers.has(handler)) throw new HttpProblem('not-found', 'There is no such handler: GET /v1/handlers');
    const limits = await readSmall(req, withBody, handlerLimitsSchema, limitable, async (limits) => {
      const { rateLimit, concurrency } = limits;
      const [rate, perMs] = [rateLimit?.limit ?? null, rateLimit?.perMs ?? null];
      await deps.statements.limitHandler({ handler, rate, perMs, concurrency }, callerOf(req).who);
      return limits;
    });
    if (limits === undefined) return;
    deps.onAccepted();
    sendJson(res, limits);
  };
}

export const toLimits = (limit: HandlerLimit | undefined): HandlerLimits => ({
  rateLimit: limit?.rate == null ? null : { limit: limit.rate, perMs: limit.perMs! },
  concurrency: limit?.concurrency ?? null,
});
