import { codeOf, verdictOf } from '@bullpen/db';
import { createQuiet, type ErrorFacts, errorFacts, type Log, placeOf } from '@bullpen/runtime';
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { sendProblem } from './answer.ts';
import { HttpProblem, NoAnswer } from './problem.ts';

/** What no route took. */
export const answerNotFound: RequestHandler = (req, res) => {
  sendProblem(req, res, new HttpProblem('not-found', `There is no ${req.method} ${req.path} here`));
};

/** Whatever a route threw, as a problem without stack, SQL or parameters. After the first byte only a cut tells the client. */
export function answerErrors(log: Log): ErrorRequestHandler {
  const sayFailed = createQuiet((facts) => log.error(facts, 'a request failed'));
  return (error: unknown, req, res, _next) => {
    if (error instanceof NoAnswer) {
      log.error({ batchId: error.batchId, ...errorFacts(error) }, 'an accept was not confirmed: its connection is cut');
      res.destroy();
      return;
    }
    const problem = problemFor(error);
    if (problem.status >= 500 && !(error instanceof HttpProblem)) {
      const facts = factsOf(error);
      sayFailed(`${problem.status} ${facts.code}`, {
        method: req.method,
        path: req.path,
        status: problem.status,
        ...facts,
      });
    }
    if (res.headersSent) res.destroy();
    else sendProblem(req, res, problem);
  };
}

/** Of a server the words; of anything else, which has the request at hand, only where it came from. */
const factsOf = (error: unknown): ErrorFacts =>
  verdictOf(error) !== 'bug' || /^[0-9A-Z]{5}$/.test(codeOf(error)) ? errorFacts(error) : placeOf(error);

export function problemFor(error: unknown): HttpProblem {
  if (error instanceof HttpProblem) return error;
  // Express itself: a path that cannot be decoded.
  if ((error as { status?: unknown })?.status === 400)
    return new HttpProblem('malformed', 'The URL is not encoded correctly');
  const retry = { headers: { 'Retry-After': '2' } };
  if (codeOf(error) === '53100') return new HttpProblem('disk-full', 'The database has no disk space left', retry);
  const verdict = verdictOf(error);
  if (verdict === 'value' || verdict === 'bug')
    return new HttpProblem('internal', 'This is a fault of the service; its log says more');
  return new HttpProblem('unavailable', 'The database does not answer at the moment', retry);
}
