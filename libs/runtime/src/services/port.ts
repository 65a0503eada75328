import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * A port on 127.0.0.1 that is free now. It lies below the range from which Linux (32768 up) and macOS (49152 up) take the ports of
 * outgoing connections: while a server that died is being started again, its waiting clients could otherwise be handed
 * that very port, or connect to themselves on it, and the server would never get it back.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = randomInt(20_000, 32_000);
    if (await canListen(port)) return port;
  }
  throw new Error('found no free port between 20000 and 32000 on 127.0.0.1');
}

const canListen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
