import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { mayHaveCommitted, openDatabase, verdictOf, withRetry } from '@bullpen/db';
import { createAuthority, openProxy, type Proxy, tlsFront } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, inject, it, onTestFinished } from 'vitest';

const silentMs = 1500;

async function proxied(): Promise<Proxy> {
  const proxy = await openProxy(inject('databaseUrl'));
  onTestFinished(() => proxy.close());
  return proxy;
}

function open(url: string) {
  const { db, close } = openDatabase({ url, max: 1, name: 'silence', durable: true, silentMs });
  onTestFinished(close);
  return db;
}

/** Stands before the run's server; answers its URL. */
async function standIn(accept: (client: Socket, count: number, upstream: () => Socket) => void): Promise<string> {
  const url = new URL(inject('databaseUrl'));
  const sockets = new Set<Socket>();
  let count = 0;
  const keep = (socket: Socket): Socket => {
    sockets.add(socket.on('error', () => undefined));
    return socket;
  };
  const target = { host: url.hostname, port: Number(url.port) };
  const server = createServer((client) => accept(keep(client), (count += 1), () => keep(connect(target))));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  url.port = String((server.address() as AddressInfo).port);
  return url.href;
}

/** How a statement ended, and after how long. */
async function endOf(statement: PromiseLike<unknown>): Promise<{ ms: number; error: unknown }> {
  const started = performance.now();
  const error: unknown = await Promise.resolve(statement).then(() => null, (said: unknown) => said); // prettier-ignore
  return { ms: performance.now() - started, error };
}

describe('a server that says nothing', () => {
  it.each(['plain text', 'TLS'])('is given up, and what was sent may have been done: %s', async (how) => {
    const proxy = await proxied();
    const front = how === 'TLS' ? await tlsFront(proxy.url, createAuthority().issue({ names: ['127.0.0.1'] })) : null;
    const db = open(front === null ? proxy.url : `${front.url()}?sslmode=no-verify`);
    await db.execute(sql`select 1`);
    await proxy.set({ hole: 'both' });
    const statement = withRetry(() => db.execute(sql`select 2`), { reconnectMs: 0 });
    const { ms, error } = await endOf(statement);
    expect([verdictOf(error), mayHaveCommitted(error)]).toEqual(['reconnect', true]);
    expect(ms).toBeGreaterThan(silentMs - 600);
    expect(ms).toBeLessThan(silentMs + 1500);
    await proxy.set({});
    expect((await endOf(db.execute(sql`select 3`))).error).toBeNull();
  });

  it('is not kept by what is sent to it meanwhile', async () => {
    const proxy = await proxied();
    const db = open(proxy.url);
    await db.execute(sql`select 1`);
    await proxy.set({ hole: 'down' });
    const first = endOf(db.execute(sql`select 2`));
    let isOver = false;
    const others: Promise<unknown>[] = [];
    void first.then(() => (isOver = true));
    for (const until = performance.now() + 4 * silentMs; !isOver && performance.now() < until;) {
      others.push(endOf(db.execute(sql`select 3`)));
      await sleep(100);
    }
    expect((await first).ms).toBeLessThan(silentMs + 1500);
    await proxy.set({});
    await Promise.all(others);
    expect((await endOf(db.execute(sql`select 4`))).error).toBeNull();
  });

  it('has all of the time for a question that comes after a pause', async () => {
    const db = open(inject('databaseUrl'));
    await db.execute(sql`select 1`);
    await sleep(silentMs - 300);
    expect((await endOf(db.execute(sql`select pg_sleep(1)`))).error).toBeNull();
  });

  it('is heard in what it takes: a long statement may be on its way for longer', async () => {
    const proxy = await proxied();
    const db = open(proxy.url);
    await db.execute(sql`select 1`);
    // What the system has taken already, some 10 MB here, is on its way for less.
    await proxy.set({ bytesPerSecond: 12_000_000 });
    const long = 'x'.repeat(50_000_000);
    const { ms, error } = await endOf(db.execute(sql`select length(${long}::text)`));
    expect(error === null ? null : verdictOf(error)).toBeNull();
    expect(ms).toBeGreaterThan(2 * silentMs);
  });
});

describe('a new connection', () => {
  it.each(['plain text', 'TLS'])('that is closed without a word is refused: %s', async (how) => {
    let opened = 0;
    const url = await standIn((client, count) => {
      opened = count;
      client.end();
    });
    const db = open(how === 'TLS' ? `${url}?sslmode=no-verify` : url);
    const { ms, error } = await endOf(withRetry(() => db.execute(sql`select 1`), { reconnectMs: 1000 }));
    expect([verdictOf(error), mayHaveCommitted(error)]).toEqual(['reconnect', false]);
    expect(ms).toBeLessThan(4000);
    expect(opened).toBeLessThan(20);
  });

  it('whose packets were lost is given up after 2 s', async () => {
    const url = await standIn((client, count, upstream) => {
      if (count > 1) client.pipe(upstream()).pipe(client);
    });
    const db = open(url);
    const { ms, error } = await endOf(withRetry(() => db.execute(sql`select 1`), { reconnectMs: Infinity }));
    expect(error).toBeNull();
    expect(ms).toBeLessThan(4000);
  });
});
