import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createClient, type Batch } from '@bullpen/api';
import { checkLedger, type House, startHouse } from '@bullpen/testkit';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { callCli } from './run-cli.ts';

let house: House;
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bullpen-cli-'));
  house = await startHouse({ workers: 1 });
});
afterAll(async () => {
  await house.stop();
  await rm(folder, { recursive: true });
});

const write = (name: string, text: string | Buffer): Promise<void> => writeFile(join(folder, name), text);
const call = (args: string[], { input = '', url = house.url() } = {}) =>
  callCli(args, { INIT_CWD: folder, BULLPEN_URL: url }, input);

/** Submits, and answers the batch when it has ended. */
async function run(...args: string[]): Promise<Batch> {
  const { code, stdout, stderr } = await call(['submit', ...args, '--watch', '--json']);
  // Of the watch: the upload itself says nothing.
  expect(stderr.split('\n').filter((line) => !/items? |\d\/\d|^$/.test(line))).toEqual([]);
  expect(code).toBe(0);
  return JSON.parse(stdout) as Batch;
}
const batchesNamed = async (name: string): Promise<Batch[]> =>
  (await createClient({ url: house.url() }).listBatches({ limit: 100 })).items.filter((batch) => batch.name === name);

const numbers = (count: number): string =>
  Array.from({ length: count }, (_, a) => `${JSON.stringify({ a, b: 1 })}\n`).join('');

describe('a file', () => {
  test('of NDJSON is a batch, in gzip too', async () => {
    await write('numbers.ndjson', numbers(3000));
    await write('numbers.jsonl.gz', gzipSync(numbers(3000)));
    for (const name of ['numbers.ndjson', 'numbers.jsonl.gz'])
      expect((await run(name, '--handler', 'add')).counts).toMatchObject({ total: 3000, succeeded: 3000 });
  });

  test('of CSV is a batch with params, name and options', async () => {
    await write('rows.csv', 'a,b\n1,2\n3,4\n');
    const batch = await run('rows.csv', '--handler', 'add', '--name', 'rows', '--max-attempts', '7', '--seed', '5');
    expect(batch).toMatchObject({ name: 'rows', counts: { succeeded: 2 }, options: { maxAttempts: 7, seed: 5 } });
    const { stdout } = await call(['results', batch.id]);
    expect(stdout.match(/"output":\{"sum":\d+\}/g)).toEqual(['"output":{"sum":3}', '"output":{"sum":7}']);
  });

  test.each(['some.ndjson', 'some.json'])(
    '%s has lines skipped, and is refused with their places without that',
    async (name) => {
      const lines = ['{"a": 1, "b": 1}', '{"a": "x", "b": 1}', '{"a": 3, "b": 1}'];
      await write(name, name.endsWith('.json') ? `[${lines.join(',')}]` : lines.join('\n'));
      const batch = await run(name, '--handler', 'add', '--on-invalid', 'skip');
      expect(batch.counts).toMatchObject({ total: 3, succeeded: 2, failed: 1 });
      const { code, stderr } = await call(['submit', name, '--handler', 'add']);
      expect(stderr).toMatch(name.endsWith('.json') ? /\n {2}\/inputs\/1\/a: / : /\n {2}line 2, \/a: /);
      expect(code).toBe(1);
    },
  );

  test('is validated, and so is a JSON array', async () => {
    await write('bad.ndjson', '{"a":1,"b":1}\n{"a":"x","b":1}\n{"a":\n');
    await write('bad.json', '[{"a":1,"b":1}, {"a":"x","b":1}]');
    expect(await call(['validate', 'numbers.ndjson', '--handler', 'add'])).toEqual({
      code: 0,
      stdout: '3,000 lines, all of them can be taken\n',
      stderr: '',
    });
    const lines = await call(['validate', 'bad.ndjson', '--handler', 'add']);
    expect(lines.stdout).toMatch(
      /^LINE {2}WHERE {2}WHAT\n {3}2 {2}\/a .*number.*\n {3}3 .*too early.*\n\n3 lines, 2 faults\n$/,
    );
    const array = await call(['validate', 'bad.json', '--handler', 'add']);
    expect(array.stdout).toMatch(/^ELEMENT {2}WHERE {2}WHAT\n {6}1 {2}\/a .*number.*\n\n2 elements, 1 fault\n$/);
    expect([lines.code, array.code]).toEqual([1, 1]);
  });
});

test('an open batch takes 120 000 lines in three appends, and ends when it is closed', async () => {
  await write('many.ndjson.gz', gzipSync(numbers(120_000)));
  const opened = await call(['submit', '--handler', 'add', '--open', '--name', 'open', '--json']);
  const { id } = JSON.parse(opened.stdout) as Batch;
  const first = await call(['append', id, 'many.ndjson.gz', '--key', 'many']);
  expect(first.stdout).toBe(`Appended: 120,000 items to batch ${id}, from index 0 on, in 3 appends.\n`);
  // The same again is the same, since each append has a key.
  const again = await call(['append', id, 'many.ndjson.gz', '--key', 'many', '--json']);
  expect(JSON.parse(again.stdout)).toMatchObject({
    count: 120_000,
    appends: [{ firstIndex: 0 }, { firstIndex: 50_000 }, { firstIndex: 100_000, count: 20_000 }],
  });
  expect((await call(['append', id, '-'], { input: '[{"a": 1, "b": 2}]' })).stdout).toContain('from index 120,000 on.');
  expect((await call(['close', id])).stdout).toBe(`Closed: batch ${id} has 120,001 items.\n`);
  expect((await house.ended(id)).counts).toMatchObject({ total: 120_001, succeeded: 120_001 });
  expect(await call(['append', id, '-'], { input: '[{"a": 1, "b": 2}]' })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('takes no more items'),
  });
});

test('a job waits for its result', async () => {
  const { code, stdout } = await call(['job', 'add', '{"a": 1, "b": 2}', '--wait', '30']);
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^Succeeded: item \d+, 1 attempt\.\n\{\n {2}"sum": 3\n\}\n$/),
  });
});

/**
 * Stands before the service. Of its first connections with a body it cuts each in its way: after so many bytes of the request, or
 * when the answer comes, which it does not pass on.
 */
async function cutting(ways: (number | 'answer')[]): Promise<{ url: string; cuts: () => number }> {
  const { hostname, port } = new URL(house.url());
  const sockets = new Set<Socket>();
  let cuts = 0;
  const server = createServer((client) => {
    const way = ways[cuts];
    const upstream = connect(Number(port), hostname);
    let bytes = 0;
    const cut = (): void => {
      cuts += 1;
      for (const socket of [client, upstream]) socket.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
    client.on('data', (part) => {
      bytes += part.length;
      if (typeof way === 'number' && bytes > way) cut();
      else upstream.write(part);
    });
    upstream.on('data', (part) => (way === 'answer' ? cut() : client.write(part)));
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, cuts: () => cuts };
}

describe('when the connection breaks', () => {
  test('in the middle of an upload, and again before its answer, there is one batch', async () => {
    await write('cut.ndjson', numbers(100_000));
    const { url, cuts } = await cutting([1_000_000, 'answer']);
    const { code, stdout, stderr } = await call(['submit', 'cut.ndjson', '--handler', 'add', '--name', 'cut'], { url });
    expect({ code, cuts: cuts() }, stderr).toEqual({ code: 0, cuts: 2 });
    expect(stderr.match(/Sending it again under the same key/g)).toHaveLength(2);
    const batches = await batchesNamed('cut');
    expect(batches.map(({ counts }) => counts.total)).toEqual([100_000]);
    expect(stdout).toContain(`Accepted: batch ${batches[0]!.id}, 100,000 items`);
    await house.ended(batches[0]!.id);
    expect(await checkLedger(house.database)).toEqual([]);
  });

  test('before the answer to an append, its items are there once', async () => {
    const opened = await call(['submit', '--handler', 'add', '--open', '--json']);
    const { id } = JSON.parse(opened.stdout) as Batch;
    const { url, cuts } = await cutting(['answer']);
    const { stdout } = await call(['append', id, 'numbers.ndjson'], { url });
    expect(cuts()).toBe(1);
    expect(stdout).toBe(`Appended: 3,000 items to batch ${id}, from index 0 on.\n`);
    expect((await house.batch(id)).counts.total).toBe(3000);
    await call(['close', id]);
  });

  test('stdin is not sent again, and the key that is told finds out', async () => {
    const { url } = await cutting(['answer']);
    const args = ['submit', '-', '--format', 'ndjson', '--handler', 'add', '--name', 'once'];
    const { code, stderr } = await call(args, { url, input: numbers(10) });
    const key = /It cannot be read from stdin again, and nobody knows .* --key (\S+): it is then taken once\./.exec(
      stderr,
    )?.[1];
    expect({ code, key }, stderr).toEqual({ code: 1, key: expect.stringMatching(/^cli-/) });
    expect(await call([...args, '--key', key!], { input: numbers(10) })).toMatchObject({ code: 0 });
    expect(await batchesNamed('once')).toHaveLength(1);
  });
});

test('a file that breaks off while it is read is no fault of the connection', async () => {
  const client = createClient({ url: house.url() });
  const body = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('1\n');
    yield* createReadStream(join(folder, 'gone'));
  };
  await expect(client.submitStream({ handler: 'echo', form: 'ndjson', body: body() })).rejects.toThrow(/ENOENT.*gone/);
});
