import type { PartitionRow, Statements } from '@bullpen/db';
import type { Express, Request, RequestHandler, Response } from 'express';
import { sendProblem } from './answer.ts';
import type { HttpDeps } from './deps.ts';
import { requires } from './access.ts';
import { contentPolicy } from './headers.ts';
import { HttpProblem } from './problem.ts';
import { refuseMethod } from './resource.ts';

type BoardDeps = Pick<HttpDeps, 'queues' | 'statements' | 'settings'>;

const boardPath = '/queues';
/** The queues answer in milliseconds; the board itself would wait for ever for a server that is away. */
const boardDeadlineMs = 4500;
const ownersKeptMs = 1000;

/**
 * Bull Board at `/queues`, to look at only: its queues are read-only, and besides only GET passes. Its errors carry stacks
 * in development and are no problem+json, so that they are answered here.
 */
export function addBoard(app: Express, { queues, statements, settings }: BoardDeps): void {
  const owners = createOwners(statements, settings.leaseMs);
  const describe = (partition: number): string => owners.describe(partition);
  let pages: Promise<RequestHandler> | undefined;
  const board: RequestHandler = (req, res, next) => {
    // Loaded when somebody first looks: it would be a quarter of what each start loads.
    pages ??= import('./board-pages.ts').then(({ createPages }) => createPages(boardPath, queues, describe));
    const failed = (error: unknown): void => {
      pages = undefined;
      next(error);
    };
    void pages.then((all) => all(req, res, next), failed);
  };
  app.use(boardPath, requires('admin'), guardBoard, owners.refresh, board);
}

const guardBoard: RequestHandler = (req, res, next) => {
  if (req.method !== 'GET' && req.method !== 'HEAD') return refuseMethod(req, res, 'GET, HEAD');
  res.setHeader('Content-Security-Policy', contentPolicy.board);
  const unavailable = (): void => {
    const detail = 'The queues cannot be read at the moment: their server does not answer';
    if (!res.headersSent)
      sendProblem(req, res, new HttpProblem('unavailable', detail, { headers: { 'Retry-After': '2' } }));
  };
  const deadline = setTimeout(unavailable, boardDeadlineMs);
  res.once('close', () => clearTimeout(deadline));
  replaceErrors(req, res, unavailable);
  next();
};

/** The board answers by `json` and `send`: what it says with an error status becomes a problem. */
function replaceErrors(req: Request, res: Response, unavailable: () => void): void {
  const json = res.json.bind(res);
  const send = res.send.bind(res);
  const instead = (answer: (body: unknown) => Response) => (body: unknown) => {
    if (res.headersSent) return res;
    if (res.statusCode < 400) return answer(body);
    if (res.statusCode >= 500) unavailable();
    else sendProblem(req, res, new HttpProblem('not-found', 'The board has no such queue or job'));
    return res;
  };
  res.json = instead(json);
  res.send = instead(send);
}

/** Who owns and who helps with each partition, at most a second old. */
function createOwners(statements: Statements, leaseMs: number) {
  let rows = new Map<number, PartitionRow>();
  let readAt = -Infinity;
  const refresh: RequestHandler = async (req, _res, next) => {
    if (req.path === '/api/queues' && performance.now() - readAt > ownersKeptMs) {
      readAt = performance.now();
      // Without the database the board still shows its queues.
      const read = await statements.partitions({ leaseMs }).catch(() => []);
      rows = new Map(read.map((row) => [row.partition, row]));
    }
    next();
  };
  return {
    refresh,
    /** `partition 2 · owner host-7 · epoch 4 · helped by host-9`. */
    describe(partition: number): string {
      const row = rows.get(partition);
      const parts = [`partition ${partition}`, `owner ${row?.owner?.name ?? 'none'}`];
      if (row !== undefined) parts.push(`epoch ${row.epoch}`);
      if (row?.reserved) parts.push('reserved');
      if (row !== undefined && row.helpers.length > 0) parts.push(`helped by ${row.helpers.join(', ')}`);
      return parts.join(' · ');
    },
  };
}
