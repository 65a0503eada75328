import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { onTestFinished } from 'vitest';

interface Answer {
  status?: number;
  type?: string;
  headers?: Record<string, string>;
  body: unknown;
}
type Route = (request: { url: URL; body: unknown; headers: IncomingHttpHeaders }) => Answer | Promise<Answer>;

export interface SmallServer {
  url: string;
  /** Bodies of what was sent, by POST, PUT or PATCH, in order: JSON as its value, NDJSON and CSV as text. */
  posted: unknown[];
  /** Their paths with query. */
  paths: string[];
  /** Their headers. */
  headers: IncomingHttpHeaders[];
}

/** A real HTTP server with the answers of one test, for what the program prints and how it ends. */
export async function smallServer(routes: Record<string, Route>): Promise<SmallServer> {
  const posted: unknown[] = [];
  const paths: string[] = [];
  const headersOf: IncomingHttpHeaders[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://test');
    const sends = ['POST', 'PUT', 'PATCH'].includes(request.method ?? '');
    const sent = sends ? await bodyOf(request) : null;
    if (sent !== null) {
      posted.push(sent);
      paths.push(request.url ?? '/');
      headersOf.push(request.headers);
    }
    const { status = 200, type = 'application/json', headers = {}, body } = await answerOf(routes, request, url, sent);
    response.writeHead(status, { 'content-type': status >= 400 ? 'application/problem+json' : type, ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, posted, paths, headers: headersOf };
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const bytes = await buffer(request);
  const plain = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;
  const text = plain.toString('utf8');
  return request.headers['content-type'] === 'application/json' ? JSON.parse(text) : text;
}

async function answerOf(
  routes: Record<string, Route>,
  request: IncomingMessage,
  url: URL,
  body: unknown,
): Promise<Answer> {
  const route = routes[`${request.method} ${url.pathname}`];
  return route
    ? route({ url, body, headers: request.headers })
    : { status: 404, body: problem(404, 'not-found', 'Not found', `no ${url.pathname}`) };
}

export const problem = (status: number, slug: string, title: string, detail: string, errors: unknown[] = []) => ({
  type: `/problems/${slug}`,
  title,
  status,
  detail,
  instance: '/v1/batches',
  errors,
});

export const batchId = '0198c3a4-7a1e-7000-8000-000000000001';

/** A batch as REST shows it. */
export const batchOf = (changes: Record<string, unknown> = {}, counts: Record<string, number> = {}) => ({
  id: batchId,
  kind: 'batch',
  name: 'nightly',
  handler: 'echo',
  state: 'completed',
  stateReason: null,
  sealed: true,
  counts: { total: 1000, pending: 0, running: 0, succeeded: 990, failed: 10, cancelled: 0, ...counts },
  params: null,
  options: {},
  createdAt: '2026-01-01T00:00:00.000Z',
  startedAt: '2026-01-01T00:00:00.100Z',
  finishedAt: '2026-01-01T00:00:02.000Z',
  webhook: null,
  itemsPerSecond: 0,
  etaSeconds: null,
  summary: null,
  summaryError: null,
  ...changes,
});

export const workersOf = (count: number) => ({
  items: Array.from({ length: count }, (_, at) => ({
    id: `0198c3a4-7a1e-7000-8000-00000000010${at}`,
    name: `host-${at}`,
    host: 'host',
    pid: 100 + at,
    startedAt: '2026-01-01T00:00:00.000Z',
    heartbeatAt: '2026-01-01T00:00:00.000Z',
    concurrency: 16,
    chunksInFlight: 2,
    partitions: [at],
    itemsDone: 12_345,
    itemsPerSecond: 678.9,
    roundTripMs: { redis: 0.21, postgres: 0.42 },
    draining: false,
    pins: null,
    pinsHeldBy: null,
    helping: null,
    idle: null,
  })),
});
