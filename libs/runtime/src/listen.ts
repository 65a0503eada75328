import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Refusal } from './lifecycle.ts';

export interface ListenPlace {
  host: string;
  port: number;
  /** The setting that names the port, and a command that it can be given to: for the way out. */
  setting: 'PORT' | 'WORKER_PORT';
  command: string;
}

/** Listens on HOST:PORT and answers the URL. A port that is taken is a refusal with the way out. */
export async function listen(server: Server, place: ListenPlace): Promise<string> {
  const { host, port } = place;
  await new Promise<void>((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException): void => reject(refusalFor(error, place));
    server.once('error', refuse);
    server.listen(port, host, () => {
      server.off('error', refuse);
      resolve();
    });
  });
  const { port: bound } = server.address() as AddressInfo;
  const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  return `http://${shown}:${bound}`;
}

function refusalFor(error: NodeJS.ErrnoException, { host, port, setting, command }: ListenPlace): Error {
  if (error.code === 'EADDRINUSE') {
    const other = port < 65_535 ? port + 1 : 3000;
    return new Refusal(`Port ${port} is taken: choose another one, for example ${setting}=${other} ${command}`);
  }
  if (error.code === 'EACCES')
    return new Refusal(`Port ${port} needs more rights: choose one above 1023, for example ${setting}=3000 ${command}`);
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
