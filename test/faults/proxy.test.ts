import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, openProxy, type Proxy } from '@bullpen/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** Answers what it is sent, and remembers it. */
let seen: string;
let proxy: Proxy;
let close: () => Promise<void>;
beforeEach(async () => {
  seen = '';
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('data', (bytes) => void ((seen += bytes.toString()), socket.write(bytes)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy = await openProxy(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`);
  close = async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
});
afterEach(async () => {
  await proxy.close();
  await close();
});

async function open() {
  const socket = connect(Number(new URL(proxy.url).port), '127.0.0.1');
  const state = { got: '', over: '' };
  socket.on('data', (bytes) => void (state.got += bytes.toString()));
  socket.on('error', (error: NodeJS.ErrnoException) => void (state.over = error.code ?? 'error'));
  socket.on('close', () => void (state.over ||= 'closed'));
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]).catch(() => undefined);
  return { socket, state };
}

const after = async (what: () => unknown): Promise<number> => {
  const started = performance.now();
  await eventually('it comes', what as () => boolean);
  return performance.now() - started;
};

describe('the fault proxy', () => {
  it('lets all pass, delays it, and slows it down', async () => {
    const { socket, state } = await open();
    socket.write('fast');
    await eventually('it comes', () => state.got === 'fast');
    await proxy.set({ delayMs: 60, jitterMs: 20 });
    socket.write('late');
    expect(await after(() => state.got === 'fastlate')).toBeGreaterThan(110);
    await proxy.set({ bytesPerSecond: 1000 });
    socket.write('x'.repeat(100));
    expect(await after(() => state.got.length === 108)).toBeGreaterThan(95);
  });

  it.each(['both', 'up', 'down'] as const)('is a hole, %s, and passes on in order when that is over', async (hole) => {
    const { socket, state } = await open();
    await proxy.set({ hole });
    socket.write('1');
    if (hole === 'down') await eventually('the server has it', () => seen === '1');
    socket.write('2');
    const other = await open();
    // That nothing comes takes a while to be seen.
    await sleep(30);
    expect({ got: state.got, over: other.state.over }).toEqual({ got: '', over: '' });
    await proxy.set({});
    await eventually('it comes', () => state.got === '12');
  });

  it('refuses, resets and cuts', async () => {
    const { state } = await open();
    await proxy.set({ refuses: true });
    await eventually('it is cut', () => state.over !== '');
    expect((await open()).state.over).toBe('ECONNREFUSED');
    await proxy.set({ cutAfterBytes: 3 });
    const third = await open();
    third.socket.write('12345');
    await eventually('it is cut', () => third.state.over !== '');
    expect(third.state.got).toBe('123');
    await proxy.set({});
    const fourth = await open();
    proxy.reset();
    await eventually('it is reset', () => fourth.state.over === 'ECONNRESET');
  });

  it('forgets the connections that are open, for ever, and takes new ones', async () => {
    const { socket, state } = await open();
    socket.write('1');
    await eventually('it is answered', () => state.got === '1');
    await proxy.set({ forgetsOpen: true });
    socket.write('2');
    const other = await open();
    other.socket.write('3');
    await eventually('a new one works', () => other.state.got === '3');
    await proxy.set({});
    socket.end('4');
    // That nothing comes takes a while to be seen.
    await sleep(30);
    expect({ seen, ...state }).toEqual({ seen: '13', got: '1', over: '' });
    other.socket.write('5');
    await eventually('the new one still works', () => other.state.got === '35');
  });

  it('drops the reply to one request, which the server gets', async () => {
    const { socket, state } = await open();
    const dropped = proxy.dropReply('up', 'second');
    socket.write('first');
    await eventually('it is answered', () => state.got === 'first');
    socket.write('second');
    await dropped;
    await eventually('it is cut', () => state.over !== '');
    expect(state.got).toBe('first');
    await eventually('the server has it', () => seen === 'firstsecond');
    const next = await open();
    next.socket.write('second');
    await eventually('only once', () => next.state.got === 'second');
  });
});
