import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createCaches, Fail, ItemContext, Retry, runHandler } from '@bullpen/handlers';
import { afterEach, describe, expect, it } from 'vitest';
import indexBlock from '../src/index-block.ts';

const none = (count: number): undefined[] => Array.from({ length: count });
const run = (inputs: readonly unknown[], params: object = { chain: 'example' }) =>
  runHandler(indexBlock, inputs, { params });

describe('index-block', () => {
  it('counts heights from start on, and takes those of inputs as they are', async () => {
    const counted = await run(none(3), { chain: 'example', start: 17 });
    expect(counted.map(({ height }) => height)).toEqual([17, 18, 19]);
    const given = await run([{ height: 19 }, { height: 0 }], { chain: 'example', start: 5 });
    expect(given.map(({ height }) => height)).toEqual([19, 0]);
    expect(given[0]).toEqual(counted[2]);
    expect((await run(none(1)))[0]!.height).toBe(0);
  });

  it('makes the same block of a chain and a height, and another of any other', async () => {
    const [one, again] = [await run([{ height: 7 }]), await run([{ height: 7 }])];
    expect(again).toEqual(one);
    const others = await run([{ height: 7 }, { height: 8 }], { chain: 'other' });
    expect(new Set([...one, ...others].map(({ hash }) => hash)).size).toBe(3);
    expect(one[0]!.hash).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each([[-1], [1.5], [2 ** 53], ['7'], [null]])('refuses the height %j', async (height) => {
    await expect(run([{ height }])).rejects.toThrow(/must be/);
  });

  it.each([
    [{}, 'chain'],
    [{ chain: '' }, 'chain'],
    [{ chain: 'a', start: -1 }, 'must be at least 0'],
    [{ chain: 'a', start: Number.MAX_SAFE_INTEGER }, 'must be at most 9007198254740991'],
    [{ chain: 'a', url: 'http://node/blocks' }, 'with {height}'],
    [{ chain: 'a', url: 'ftp://node/{height}' }, 'http or https'],
    [{ chain: 'a', from: 1 }, 'from'],
  ])('refuses the params %j', async (params, words) => {
    await expect(run(none(1), params)).rejects.toThrow(words);
  });

  it('has heights that are exact up to the last one of the largest batch', async () => {
    const start = Number.MAX_SAFE_INTEGER - 1_000_000_000;
    expect((await run(none(2), { chain: 'a', start }))[1]!.height).toBe(start + 1);
    expect((await run([{ height: Number.MAX_SAFE_INTEGER }]))[0]!.height).toBe(Number.MAX_SAFE_INTEGER);
  });
});

let close: () => void = () => undefined;
afterEach(() => close());

/** A node that answers in this way. */
async function node(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  close = () => {
    server.closeAllConnections();
    server.close();
  };
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/blocks/{height}?full={height}`;
}

const says =
  (status: number, body: unknown, headers: Record<string, string> = {}) =>
  (_: IncomingMessage, response: ServerResponse): void =>
    void response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));

describe('index-block with a url', () => {
  it('answers what the node tells of the block, over connections that are used again', async () => {
    const asked: (string | undefined)[] = [];
    const ports = new Set<number | undefined>();
    const url = await node((request, response) => {
      asked.push(request.url);
      ports.add(request.socket.remotePort);
      const height = Number(/\d+/.exec(request.url!)![0]);
      says(200, { hash: `h${height}`, height: String(height), size: 5 })(request, response);
    });
    const blocks = await run(none(20), { chain: 'a', start: 40, url });
    expect(blocks).toEqual(blocks.map((_, at) => ({ hash: `h${40 + at}`, height: 40 + at, size: 5 })));
    expect(blocks.length).toBe(20);
    expect(asked[0]).toBe('/blocks/40?full=40');
    expect(ports.size).toBeLessThan(5);
  });

  const failure = async (answer: Parameters<typeof node>[0]): Promise<unknown> =>
    run(none(1), { chain: 'a', url: await node(answer) }).catch((error: unknown) => error);

  it.each([429, 503])('has all items wait for as long as %i with Retry-After says', async (status) => {
    const error = await failure(says(status, 'slow down', { 'retry-after': '7' }));
    expect(error).toBeInstanceOf(Retry);
    expect(error).toMatchObject({ afterMs: 7000, forAll: true });
  });

  it.each([
    ['http-404', 404, 'no such block'],
    ['no-block', 200, 'no json'],
    ['no-block', 200, { height: 0 }],
    ['block-too-large', 200, { hash: 'x'.repeat(1024 * 1024) }],
  ])('fails for good as %s at %i', async (code, status, body) => {
    const error = await failure(says(status, body));
    expect(error).toBeInstanceOf(Fail);
    expect(error).toMatchObject({ code });
  });

  it.each([
    [503, ''],
    [500, ''],
    [302, ''],
    [200, { hash: 'h', height: 5 }],
  ])('is tried again after %i with %j', async (status, body) => {
    const error = await failure(says(status, body));
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(Fail);
    expect(error).not.toBeInstanceOf(Retry);
    expect(String(error)).toContain('the node answers');
  });

  it('gives up when its signal says so', async () => {
    let asked: () => void = () => undefined;
    const seen = new Promise<void>((resolve) => (asked = resolve));
    const url = await node(() => asked());
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const params = { chain: 'a', start: 0, url };
    const scope = { batchId: '', params, seed: 0, log, caches: createCaches(), cancelled: null };
    const context = new ItemContext(scope, 0, 1);
    const running = indexBlock.run!(undefined as never, context);
    await seen;
    ItemContext.end(context, new Error('too late'));
    await expect(running).rejects.toThrow('too late');
  });
});
