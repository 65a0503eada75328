import { errorFacts } from '@bullpen/runtime';
import { isKnown } from './access.ts';
import { sendJson } from './answer.ts';
import { within } from './deadline.ts';
import type { HttpDeps } from './deps.ts';
import { HttpProblem } from './problem.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';

/** Dependencies that take longer to answer than this are away. */
const readinessMs = 4000;

/** `GET /livez`: the process lives and its loop turns. Open to everybody: it says nothing else. */
export const showAlive: Route = (_req, res) => sendJson(res, { status: 'alive' });

/** `GET /readyz`: whether work can be accepted and published; 503 says why not. */
export function showReady({ readiness, log, stopping }: Pick<HttpDeps, 'readiness' | 'log' | 'stopping'>): Route {
  const look = async (): Promise<readonly string[]> => {
    if (stopping?.aborted) return ['the service stops'];
    try {
      return await within(readinessMs, readiness());
    } catch (error) {
      log.warn(errorFacts(error), 'readiness could not be found out');
      return ['a dependency does not answer'];
    }
  };
  return async (req, res) => {
    readQuery(req, noQuery);
    const problems = await look();
    if (problems.length === 0) return sendJson(res, { status: 'ready' });
    const shown = isKnown(req) ? problems : ['with a key it is said here what is in the way'];
    const errors = shown.map((message) => ({ message }));
    throw new HttpProblem('not-ready', shown.join('; '), { errors, headers: { 'Retry-After': '2' } });
  };
}
