import { type Access, type Caller, challenge, whyForbidden } from '@bullpen/access';
import type { RouteSpec } from '@bullpen/api';
import type { Log } from '@bullpen/runtime';
import type { Request, RequestHandler, Response } from 'express';
import { rateLimit } from 'express-rate-limit';
import { HttpProblem } from './problem.ts';

/** What a browser asks for by itself, with what its user has typed in as a password. What changes anything is none of it. */
const isForReading = ({ method }: Request): boolean => method === 'GET' || method === 'HEAD';

const callers = new WeakMap<Request, Caller>();

/** Who asks; the guard has let it in. */
export function callerOf(req: Request): Caller {
  const caller = callers.get(req);
  if (caller === undefined) throw new Error('nobody has looked who asks');
  return caller;
}

/** Whether the guard knows who asks: of what is open to everybody nobody has to be known. */
export const isKnown = (req: Request): boolean => callers.has(req);

/** Finds out who asks, and refuses who may not ask at all. With keys `/readyz` is open, for probes that have none. */
export function guardAccess({ access, log }: { access: Access; log: Log }): RequestHandler {
  const note = createNote(log);
  const watch = watchKeys(access);
  return async (req, res, next) => {
    refuseTwice(req);
    const reads = isForReading(req);
    const found = await access.caller({ peer: req.socket.remoteAddress, headers: req.headers }, reads);
    // Who has left meanwhile is heard of no more.
    if (res.destroyed) return;
    if (!('slug' in found)) {
      callers.set(req, found);
      watch(res, found.keyId);
      return next();
    }
    const hasKeys = !(await access.isKeyless());
    if (hasKeys && req.path === '/readyz') return next();
    note(req, found.detail);
    const headers =
      found.slug === 'unauthorized'
        ? { 'WWW-Authenticate': challenge(hasKeys, reads && !req.path.startsWith('/v1/')) }
        : {};
    throw new HttpProblem(found.slug, found.detail, { headers });
  };
}

/** Of two the one that is looked at here might not be the one that a proxy looks at. */
function refuseTwice({ rawHeaders }: Request): void {
  const names = rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  for (const once of ['Host', 'Authorization'])
    if (names.filter((name) => name === once.toLowerCase()).length > 1)
      throw new HttpProblem('malformed', `The request has several headers ${once}`);
}

const watchEveryMs = 1000;

/**
 * Cuts what is still being answered, or sent, when its key holds no more, or, where it was let in without one, when there are keys: a stream
 * of events may last for days.
 */
function watchKeys(access: Pick<Access, 'holds' | 'isKeyless'>): (res: Response, keyId: string | null) => void {
  const open = new Map<Response, string | null>();
  let timer: NodeJS.Timeout | null = null;

  async function look(): Promise<void> {
    for (const keyId of new Set(open.values())) {
      // Without an answer nobody knows; what needs the database finds out by itself.
      if (await (keyId === null ? access.isKeyless() : access.holds(keyId)).catch(() => true)) continue;
      for (const [res, each] of open) if (each === keyId) res.destroy();
    }
    timer = open.size > 0 ? setTimeout(() => void look(), watchEveryMs).unref() : null;
  }

  return (res, keyId) => {
    open.set(res, keyId);
    res.once('close', () => open.delete(res));
    timer ??= setTimeout(() => void look(), watchEveryMs).unref();
  };
}

/** Refuses whose key does not allow what this needs. */
export const requires =
  (needs: RouteSpec['needs']): RequestHandler =>
  (req, _res, next) => {
    const refused = needs === 'nothing' ? null : whyForbidden(callerOf(req), needs);
    if (refused !== null) throw new HttpProblem(refused.slug, refused.detail);
    next();
  };

/** So many requests of a key in each second, of this process. */
export const limitRate = (): RequestHandler =>
  rateLimit({
    windowMs: 1000,
    skip: (req) => !isKnown(req) || callerOf(req).rate === null,
    keyGenerator: (req) => callerOf(req).keyId ?? '',
    limit: (req) => callerOf(req).rate ?? 0,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    validate: false,
    handler: (req, _res, next) => {
      const detail = `The key may ask ${callerOf(req).rate} times a second`;
      next(new HttpProblem('rate-limited', detail, { headers: { 'Retry-After': '1' } }));
    },
  });

const noteEveryMs = 10_000;

/** Who was refused, in a line each ten seconds: strangers must not fill the log. */
function createNote(log: Log) {
  let notedAt = -Infinity;
  let refused = 0;
  return ({ ip, method, path }: Request, reason: string): void => {
    refused += 1;
    if (performance.now() - notedAt < noteEveryMs) return;
    notedAt = performance.now();
    log.warn({ from: ip, method, path: path.slice(0, 200), reason, refused }, 'requests were refused');
    refused = 0;
  };
}
