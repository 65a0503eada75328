import type { Statements } from '@bullpen/db';
import { findBatch } from './batches.ts';
import { nextEvents, seenIn } from './event-text.ts';
import type { Followers } from './followers.ts';
import { HttpProblem } from './problem.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';

/**
 * `GET /v1/batches/{id}/events`: progress and state as server-sent events, until the batch has ended. A client that has seen
 * the end is answered 204, upon which an EventSource comes back no more.
 */
export function streamEvents(statements: Statements, followers: Followers): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    if (!req.accepts('text/event-stream')) throw new HttpProblem('not-acceptable', 'Events come as text/event-stream');
    const batch = await findBatch(statements, req);
    const seen = seenIn(req.headers['last-event-id']);
    const { text, over } = nextEvents(batch, seen);
    if (over && text === '') {
      res.statusCode = 204;
      return void res.end();
    }
    if (req.method !== 'HEAD') followers.refuseTooMany();
    res.setHeader('Content-Type', 'text/event-stream');
    // nginx would hold events back until it has a buffer full of them.
    res.setHeader('X-Accel-Buffering', 'no');
    if (req.method === 'HEAD') return void res.end();
    followers.add(res, batch, seen);
  };
}
