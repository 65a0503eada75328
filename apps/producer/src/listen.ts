import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Refusal, type Settings } from '@bullpen/runtime';

/** Listens on HOST:PORT and answers the URL. A port that is taken is a refusal with the way out. */
export async function listen(server: Server, { host, port }: Pick<Settings, 'host' | 'port'>): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(refusalFor(error, host, port)));
    server.listen(port, host, resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  return `http://${shown}:${bound}`;
}

function refusalFor(error: NodeJS.ErrnoException, host: string, port: number): Error {
  if (error.code === 'EADDRINUSE')
    return new Refusal(`Port ${port} is taken: choose another one, for example PORT=${port + 1} npm start`);
  if (error.code === 'EACCES')
    return new Refusal(`Port ${port} needs more rights: choose one above 1023, for example PORT=3000 npm start`);
  if (error.code === 'EADDRNOTAVAIL')
    return new Refusal(`HOST ${host} is no address of this machine: use 127.0.0.1, or 0.0.0.0 for all`);
  return error;
}

/** A request that is being answered has this long before its connection is cut. */
const answerMs = 5000;

/** Takes no more requests and waits for those that are being answered. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection whose answer went out only now is idle too, and would be kept for 5 s.
  const idle = setInterval(() => server.closeIdleConnections(), 20);
  const late = setTimeout(() => server.closeAllConnections(), answerMs);
  await closed;
  clearInterval(idle);
  clearTimeout(late);
}
