import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Delayed {
  /** The given URL by way of the proxy. */
  url: string;
  stop: () => Promise<void>;
}

/** A server that is so many ms farther away than it was: half of it in each direction, whatever the amount. */
export async function delayed(url: string, roundTripMs: number): Promise<Delayed> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  const proxy = createServer((near) => {
    const far = connect({ host: target.hostname, port: Number(target.port) });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from.setNoDelay());
      pass(from, to, roundTripMs / 2);
      from.on('error', () => to.destroy());
      from.on('close', () => (sockets.delete(from), to.destroy()));
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const away = new URL(url);
  away.hostname = '127.0.0.1';
  away.port = String((proxy.address() as AddressInfo).port);
  return {
    url: away.href,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}

/** Every piece goes on after the same time, so that their order stays. */
function pass(from: Socket, to: Socket, ms: number): void {
  from.on('data', (bytes) => void sleep(ms).then(() => to.destroyed || to.write(bytes)));
  from.on('end', () => void sleep(ms).then(() => to.end()));
}
