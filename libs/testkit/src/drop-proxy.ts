import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/**
 * Stands before a server and lets all pass, until a client sends the given text: that is still delivered, its reply is
 * not, the connection breaks, and no new one is taken. For a commit whose reply is lost.
 */
export async function dropReplyTo(target: string, text: string): Promise<string> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let dropping = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
    client.on('data', (bytes) => {
      upstream.write(bytes);
      if (!bytes.includes(text)) return;
      dropping = true;
      server.close();
    });
    upstream.on('data', (bytes) => {
      if (!dropping) return void client.write(bytes);
      for (const socket of sockets) socket.destroy();
    });
    client.on('close', () => upstream.end());
    upstream.on('close', () => client.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const url = new URL(target);
  url.port = String((server.address() as AddressInfo).port);
  return url.href;
}
