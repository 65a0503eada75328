import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Delayed {
  /** The given URL by way of the proxy. */
  url: string;
  stop: () => Promise<void>;
}

/**
 * A server that is so many ms farther away than it was: half of it in each direction, whatever the amount, unless the line takes only
 * so many Mbit/s in each, of all connections together.
 */
export async function delayed(url: string, roundTripMs: number, mbitPerSecond = Infinity): Promise<Delayed> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  const there = createDirection(roundTripMs / 2, mbitPerSecond);
  const back = createDirection(roundTripMs / 2, mbitPerSecond);
  const proxy = createServer((near) => {
    const far = connect({ host: target.hostname, port: Number(target.port) });
    for (const [from, to, msFor] of [
      [near, far, there],
      [far, near, back],
    ] as const) {
      sockets.add(from.setNoDelay());
      pass(from, to, msFor);
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

type Direction = (bytes: number) => number;

/** Answers in how many ms so many bytes have arrived that are sent now, behind all that was sent before. */
function createDirection(ms: number, mbitPerSecond: number): Direction {
  let freeAt = 0;
  return (bytes) => {
    const now = performance.now();
    freeAt = Math.max(now, freeAt) + (bytes * 8) / (mbitPerSecond * 1000);
    return freeAt - now + ms;
  };
}

/** Timers of different lengths may end in another order than they were due, so each piece waits for the one before it too. */
function pass(from: Socket, to: Socket, msFor: Direction): void {
  let before: Promise<unknown> = Promise.resolve();
  function after(bytes: number, act: () => unknown): void {
    const ms = msFor(bytes);
    before = Promise.all([before, ms > 0 ? sleep(ms) : null]).then(act);
  }
  from.on('data', (bytes) => after(bytes.length, () => to.destroyed || to.write(bytes)));
  from.on('end', () => after(0, () => to.end()));
}
