import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createDice } from '../dice.ts';
import { createPipe } from './pipe.ts';

/** What a network does between two machines, from now on and to the connections that are open too. All that is left out is as it should be. */
export interface Weather {
  /** Each byte comes so much later, and up to `jitterMs` more. */
  delayMs?: number;
  jitterMs?: number;
  /** Of each connection, in each direction. */
  bytesPerSecond?: number;
  /** Nothing comes through, and nobody is told: both ways, only to the server, or only back. What was sent comes when it is over. */
  hole?: 'both' | 'up' | 'down';
  /**
   * Connections that are open when it begins are dead for ever: nothing comes through, neither end is told, also not when it is
   * over. Those that are opened from then on are as they should be.
   */
  forgetsOpen?: boolean;
  /** No new connection is taken, and those that are open are cut. */
  refuses?: boolean;
  /** Each connection that is opened from now on is cut after so many bytes of replies. */
  cutAfterBytes?: number;
}

interface Link {
  client: Socket;
  server: Socket;
  /** The client is cut off; what it has sent is still read by the server, whose replies go nowhere. */
  isDropped: boolean;
  /** Nobody passes anything on, or tells an end of it that the other one is gone. */
  isForgotten: boolean;
}

/** Stands before a server; `set` changes the weather at run time. The same seed gives the same jitter. */
export async function openProxy(target: string, seed = 1) {
  let place = new URL(target);
  const dice = createDice(seed);
  const links = new Set<Link>();
  const drops = new Set<(bytes: Buffer, way: 'up' | 'down', link: Link) => void>();
  let weather: Weather = {};
  let listening: Server | null = null;
  let ownPort = 0;

  function cut({ client, server }: Link, how: 'reset' | 'end' = 'end'): void {
    for (const socket of [client, server]) {
      if (how === 'reset') socket.resetAndDestroy();
      else socket.destroy();
    }
  }

  /** Nothing is read any more, so that not even the end of a connection is answered. */
  function forget(link: Link): void {
    link.isForgotten = true;
    for (const socket of [link.client, link.server]) socket.pause();
  }

  function accept(client: Socket): void {
    const server = connect(Number(place.port), place.hostname);
    const link: Link = { client, server, isDropped: false, isForgotten: false };
    links.add(link);
    const over = (): void => {
      if (link.isForgotten) return;
      links.delete(link);
      cut(link);
    };
    const onClient = (): void => void (link.isDropped ? server.end() : over());
    client.setNoDelay(true).on('error', onClient).on('close', onClient);
    server.setNoDelay(true).on('error', over).on('close', over);
    const look = (way: 'up' | 'down') => (bytes: Buffer): boolean => {
      for (const each of drops) each(bytes, way, link);
      return way === 'down' && link.isDropped;
    }; // prettier-ignore
    const { cutAfterBytes } = weather;
    const deps = { weather: () => weather, jitter: () => dice.roll(), isForgotten: () => link.isForgotten };
    createPipe({ ...deps, from: client, to: server, way: 'up', isTaken: look('up') });
    createPipe({ ...deps, from: server, to: client, way: 'down', isTaken: look('down'), cutAfterBytes, cut: over });
  }

  async function listen(): Promise<void> {
    const server = createServer({ pauseOnConnect: true }, accept);
    server.listen(ownPort, '127.0.0.1');
    await once(server, 'listening');
    ownPort = (server.address() as AddressInfo).port;
    listening = server;
  }

  function stopListening(): Server | null {
    const server = listening;
    server?.close();
    listening = null;
    return server;
  }

  async function refuse(): Promise<void> {
    const server = stopListening();
    for (const link of links) {
      link.isForgotten = false;
      cut(link);
    }
    if (server !== null && links.size > 0) await once(server, 'close');
  }

  await listen();
  const url = new URL(target);
  url.hostname = '127.0.0.1';
  url.port = String(ownPort);
  return {
    url: url.href,
    /** Connections that are open now. */
    open: (): number => links.size,

    async set(next: Weather): Promise<void> {
      weather = next;
      if (next.forgetsOpen) for (const link of links) forget(link);
      if (next.refuses) await refuse();
      else if (listening === null) await listen();
    },

    /** New connections go to another server from now on, those that are open stay where they are: a name that was given to another. */
    leadTo: (server: string): void => void (place = new URL(server)),

    /** Cuts all open connections as a machine does that was restarted. */
    reset(): void {
      for (const link of links) cut(link, 'reset');
    },

    /**
     * The next time that this text comes by, to the server (`up`) or back (`down`), its client is cut off without a reply, while
     * the server gets all that was sent. Resolves when it has happened.
     */
    dropReply: (way: 'up' | 'down', text: string): Promise<void> =>
      new Promise((resolve) => {
        const look = (bytes: Buffer, from: 'up' | 'down', link: Link): void => {
          if (from !== way || link.isDropped || !bytes.includes(text)) return;
          drops.delete(look);
          link.isDropped = true;
          // Its end is told later than these bytes are passed on.
          link.client.destroy();
          resolve();
        };
        drops.add(look);
      }),

    /** Connections that are open stay so, no new one is taken. */
    stopListening: (): void => void stopListening(),
    async close(): Promise<void> {
      weather = {};
      await refuse();
    },
  };
}

export type Proxy = Awaited<ReturnType<typeof openProxy>>;
