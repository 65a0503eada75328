import { type Retry, retrySchema } from '@bullpen/api';
import type { BatchRow } from '@bullpen/db';
import type { BodyReader } from '../intake/body.ts';
import { callerOf } from './access.ts';
import { sendJson } from './answer.ts';
import { toBatch } from './batch-answer.ts';
import { findBatch } from './batches.ts';
import type { HttpDeps } from './deps.ts';
import { HttpProblem } from './problem.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';
import { hasBody, readNothing, readSmall } from './small-body.ts';

type ControlDeps = Pick<HttpDeps, 'statements' | 'onAccepted'>;
type State = BatchRow['state'];

/** In which state a batch is when it was done before; in any other it cannot be. */
const moves = {
  cancel: { leaves: ['cancelled'], otherwise: 'there is nothing left to cancel' },
  pause: { leaves: ['paused'], otherwise: 'there is nothing left to pause' },
  resume: { leaves: ['running'], otherwise: 'it does not go on' },
} as const satisfies Record<string, { leaves: readonly State[]; otherwise: string }>;

/**
 * `POST /v1/batches/{id}/cancel`, `/pause`, `/resume`: one row changes, and workers follow within 2 s. Again it is 200 and changes nothing;
 * 409 where the batch has ended in another way.
 */
export function moveBatch(
  { statements, onAccepted }: ControlDeps,
  withBody: BodyReader,
  action: keyof typeof moves,
): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    if (!(await readNothing(req, withBody))) return;
    const { no } = await findBatch(statements, req);
    const changed = await statements[action](no, callerOf(req).who);
    const batch = await findBatch(statements, req);
    const { leaves, otherwise } = moves[action];
    // What was done was done, though the next flush may have paused it again, or its last item was final already.
    const isSo = changed || (leaves as readonly State[]).includes(batch.state);
    if (!isSo) throw new HttpProblem('invalid-state', `The batch is ${batch.state}: ${otherwise}`);
    if (changed) onAccepted();
    sendJson(res, toBatch(batch));
  };
}

/** `POST /v1/batches/{id}/retry`: failed items run again, all or those of one cause, with new attempts. */
export function retryBatch({ statements, onAccepted }: ControlDeps, withBody: BodyReader): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    const { no } = await findBatch(statements, req);
    const retry = ({ fingerprint }: Retry): Promise<number> =>
      statements.retry(no, { fingerprint: fingerprint ?? null, who: callerOf(req).who });
    const again = hasBody(req)
      ? await readSmall(req, withBody, retrySchema, 'a fingerprint (GET …/failures)', retry)
      : await retry({});
    if (again === undefined) return;
    const batch = await findBatch(statements, req);
    if (batch.state === 'cancelled')
      throw new HttpProblem('invalid-state', 'The batch is cancelled: its items do not run again');
    if (again > 0) onAccepted();
    sendJson(res, toBatch(batch));
  };
}
