import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Access, type Caller, challenge, type Refused, whyForbidden } from '@bullpen/access';
import { problemOf, type ProblemSlug, problemTable } from '@bullpen/api';
import { closeServer, listen, type Settings } from '@bullpen/runtime';

/** The metrics of the process, as Prometheus reads them. */
interface Exposition {
  contentType: string;
  text: () => Promise<string>;
}

/** Dependencies that take longer to answer than this are away. */
const readinessMs = 4000;

/** What is in the way of work, one line each; [] is ready. */
type Readiness = () => Promise<readonly string[]>;

export interface Health {
  /** From now on this is asked, and who asks for metrics is known. Before, the answer is that the worker starts. */
  started: (readiness: Readiness, access: Access) => void;
  /** It drains: not ready from now on, while /livez goes on to answer. */
  stopping: () => void;
  close: () => Promise<void>;
}

/**
 * Answers `/livez`, `/readyz` and, to whom the producer would too, `/metrics` on WORKER_PORT, in the words of the producer. What is in
 * the way of readiness is told to the same alone. It listens before the worker looks for its servers, so that a supervisor sees one
 * that waits as alive and not ready; a port that is taken is refused at once.
 */
export async function openHealth(
  { host, workerPort }: Pick<Settings, 'host' | 'workerPort'>,
  metrics: Exposition | null,
): Promise<Health> {
  if (workerPort === 0 || metrics === null) return { started: () => {}, stopping: () => {}, close: async () => {} };
  let readiness: Readiness = async () => ['the worker starts'];
  let access: Access | null = null;
  const look = oneAtATime(() => within(readinessMs, readiness()));
  const server = createServer({ headersTimeout: 10_000, requestTimeout: 10_000 }, (req, res) => {
    answer(req, res, { look, metrics, access }).catch(() => res.destroy());
  });
  await listen(server, { host, port: workerPort, setting: 'WORKER_PORT', command: 'pnpm worker' });
  return {
    started(how, who) {
      readiness = how;
      access = who;
    },
    stopping: () => void (readiness = async () => ['the worker stops']),
    close: () => closeServer(server),
  };
}

const paths = ['/livez', '/readyz', '/metrics'];

async function answer(
  req: IncomingMessage,
  res: ServerResponse,
  { look, metrics, access }: { look: Readiness; metrics: Exposition; access: Access | null },
): Promise<void> {
  const [path = ''] = (req.url ?? '/').split('?', 1);
  if (!paths.includes(path)) return refuse(req, res, 'not-found', 'A worker answers /livez, /readyz and /metrics');
  if (req.method !== 'GET' && req.method !== 'HEAD') {
    res.setHeader('Allow', 'GET, HEAD');
    return refuse(req, res, 'method-not-allowed', `${req.method} is not allowed here`);
  }
  if (path === '/livez') return sendJson(res, 200, { status: 'alive' });
  if (path === '/metrics' && access !== null) {
    const refused = await whyRefused(access, req);
    if (refused?.slug === 'unauthorized')
      res.setHeader('WWW-Authenticate', challenge(!(await access.isKeyless()), true));
    if (refused !== null) return refuse(req, res, refused.slug, refused.detail);
    return send(res, 200, metrics.contentType, await metrics.text());
  }
  const problems = await look();
  if (problems.length === 0) return sendJson(res, 200, { status: 'ready' });
  res.setHeader('Retry-After', '2');
  const isKnown = access === null || (await whoAsks(access, req).then((who) => !('slug' in who), () => false)); // prettier-ignore
  const shown = isKnown ? problems : ['with a key it is said here what is in the way'];
  refuse(req, res, 'not-ready', shown.join('; '), shown);
}

const whoAsks = (access: Access, req: IncomingMessage): Promise<Caller | Refused> =>
  access.caller({ peer: req.socket.remoteAddress, headers: req.headers }, true);

/** What a worker does says as much as what the producer does. */
async function whyRefused(access: Access, req: IncomingMessage): Promise<Refused | null> {
  const caller = await whoAsks(access, req);
  return 'slug' in caller ? caller : whyForbidden(caller, 'read');
}

function refuse(
  req: IncomingMessage,
  res: ServerResponse,
  slug: ProblemSlug,
  detail: string,
  problems: readonly string[] = [],
): void {
  const [instance = '/'] = (req.url ?? '/').split('?', 1);
  const errors = problems.map((message) => ({ message }));
  const { status } = problemTable[slug];
  sendJson(res, status, problemOf(slug, { detail, instance, errors }), 'application/problem+json');
}

const sendJson = (res: ServerResponse, status: number, body: object, type = 'application/json'): void =>
  send(res, status, type, JSON.stringify(body));

function send(res: ServerResponse, status: number, type: string, text: string): void {
  res.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
  });
  res.end(text);
}

/** However many ask at once, the servers are asked once: the port is open to whoever reaches it. */
function oneAtATime(look: Readiness): Readiness {
  let running: Promise<readonly string[]> | null = null;
  return () => (running ??= look().finally(() => (running = null)));
}

async function within(ms: number, readiness: Promise<readonly string[]>): Promise<readonly string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly string[]>((resolve) => {
    timer = setTimeout(() => resolve(['a dependency does not answer']), ms);
  });
  const found = readiness.catch(() => ['a dependency does not answer']);
  return Promise.race([found, late]).finally(() => clearTimeout(timer));
}
