import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import { onTestFinished } from 'vitest';
import type { Certificate } from './certificates.ts';

export interface TlsFront {
  /** The server's URL through the front, with `rediss:` for Redis; the host is an address, or the name that was asked for. */
  url: (host?: string) => string;
  /** Shows this one from now on, and ends all connections. */
  show: (certificate: Certificate) => void;
}

/** PostgreSQL's question for TLS: its length and a code. */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/** What PostgreSQL answers where pg_hba.conf has only `hostssl` lines. */
const tlsOnly = errorResponse({
  S: 'FATAL',
  V: 'FATAL',
  C: '28000',
  M: 'no pg_hba.conf entry for host "127.0.0.1", user "test", database "test", no encryption',
});

function errorResponse(fields: Record<string, string>): Buffer {
  const body = Buffer.from(`${Object.entries(fields).map(([field, words]) => `${field}${words}\0`).join('')}\0`); // prettier-ignore
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

/** Stands before a server that speaks plain text, and takes TLS only. PostgreSQL asks for it first, Redis begins with it. */
export async function tlsFront(target: string, certificate: Certificate): Promise<TlsFront> {
  const { hostname, port, protocol } = new URL(target);
  const sockets = new Set<Socket>();
  let context = createSecureContext(certificate);

  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  };
  const upgrade = (client: Socket): void => {
    const secure = keep(new TLSSocket(client, { isServer: true, secureContext: context }));
    const upstream = keep(connect(Number(port), hostname));
    secure.pipe(upstream).pipe(secure);
    secure.on('close', () => upstream.destroy());
    upstream.on('close', () => secure.destroy());
  };
  const server = createServer((client) => {
    keep(client);
    if (protocol === 'redis:') return upgrade(client);
    client.once('data', (first) => {
      if (!first.equals(sslRequest)) return void client.end(tlsOnly);
      client.write('S');
      upgrade(client);
    });
  });
  const endAll = (): void => sockets.forEach((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    endAll();
  });
  return {
    url(host = '127.0.0.1') {
      const url = new URL(protocol === 'redis:' ? target.replace('redis:', 'rediss:') : target);
      url.host = `${host}:${(server.address() as AddressInfo).port}`;
      return url.href;
    },
    show(next) {
      context = createSecureContext(next);
      endAll();
    },
  };
}
