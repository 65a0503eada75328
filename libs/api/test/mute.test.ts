import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createClient, UnreachableError } from '@bullpen/api';
import { expect, it, onTestFinished } from 'vitest';

async function clientOf(listener: RequestListener) {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return createClient({ url: `http://127.0.0.1:${port}`, patience: { answerMs: 300, quietMs: 300 } });
}

const mute = expect.objectContaining({
  why: 'mute',
  message: expect.stringMatching(/is that the right BULLPEN_URL\?/),
});

it('a service that takes a request and never answers, or not to the end, is given up', async () => {
  const silent = await clientOf(() => undefined);
  await expect(silent.listBatches()).rejects.toEqual(mute);
  await expect(silent.ready()).rejects.toBeInstanceOf(UnreachableError);
  await expect(silent.deleteBatch('a')).rejects.toEqual(mute);
  await expect(silent.resultLines('a').next()).rejects.toEqual(mute);
  const half = await clientOf((_, response) => void response.write('{'));
  await expect(half.listBatches()).rejects.toEqual(mute);
});

it('an answer that was asked to wait is waited for', async () => {
  const slow = await clientOf((_, response) => void setTimeout(() => response.end('{"id":"a"}'), 700));
  expect(await slow.getBatch('a', { waitSeconds: 1 })).toEqual({ id: 'a' });
});

it('an event stream that falls silent is taken up again', async () => {
  let requests = 0;
  const client = await clientOf((_, response) => {
    requests += 1;
    if (requests === 3) return void response.writeHead(204).end();
    response.write(`id: ${requests}\nevent: state\ndata: {}\n\n`);
  });
  const ids: string[] = [];
  for await (const { id } of client.events('a')) ids.push(id);
  expect(ids).toEqual(['1', '2']);
});
