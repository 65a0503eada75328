import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { lingerAfter } from './linger.ts';
import { problemOf, type ProblemSlug, problemTable } from '@bullpen/api';

/**
 * Limits of the transport. Node's own leave a connection that sends nothing open for 60 s, look only each 30 s, and
 * allow a request 5 min, which cuts an upload: how slow a body may be is said where it is read (intake/source.ts).
 */
const limits = {
  /** The head of a request must be here by then. */
  headersTimeout: 10_000,
  requestTimeout: 0,
  keepAliveTimeout: 30_000,
  /** How often both are checked. */
  connectionsCheckingInterval: 5000,
  /** URL and headers together, in bytes. */
  maxHeaderSize: 16 * 1024,
  maxHeadersCount: 100,
  /** Otherwise Node itself answers an empty 400; the access rule says why instead. */
  requireHostHeader: false,
};

/** Sets the limits, and answers what is no HTTP, or too slow, or too large, with a problem. Call it before it listens. */
export function tuneServer(server: Server): Server {
  Object.assign(server, limits);
  server.prependListener('request', replaceUnreadable);
  server.on('request', lingerAfter);
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuse(error, socket as Socket));
  // Node would answer an empty 417.
  server.on('checkExpectation', (_req, res) => {
    res.writeHead(417, { 'Content-Type': 'application/problem+json', Connection: 'close' });
    res.end(
      JSON.stringify({
        ...problemOf('malformed', { detail: 'The header Expect is not understood', instance: '/' }),
        status: 417,
      }),
    );
  });
  return server;
}

/** Express has no path for what is no URL, and answers it past all that is ours: it is one that there is not. */
function replaceUnreadable(req: IncomingMessage): void {
  if (!URL.canParse(req.url ?? '', 'http://localhost')) req.url = '/unreadable';
}

function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  const answering = (socket as { _httpMessage?: { headersSent?: boolean } })._httpMessage?.headersSent === true;
  if (error.code === 'ECONNRESET' || !socket.writable || answering) {
    socket.destroy();
    return;
  }
  const { slug, detail } = reasonFor(error.code);
  const body = JSON.stringify(problemOf(slug, { detail, instance: '/' }));
  const { status } = problemTable[slug];
  const head = [
    `HTTP/1.1 ${status} ${slug}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

function reasonFor(code: string | undefined): { slug: ProblemSlug; detail: string } {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return {
      slug: 'header-too-large',
      detail: `The URL and the headers together may have ${limits.maxHeaderSize} bytes`,
    };
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return { slug: 'request-timeout', detail: 'The request did not arrive in time' };
  return { slug: 'malformed', detail: 'This is no valid HTTP request, or it broke off' };
}
