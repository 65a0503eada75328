import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createClient, type Batch } from '@bullpen/api';
import { checkLedger, type House, startHouse } from '@bullpen/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callCli } from './run-cli.ts';
import { batchOf, smallServer } from './small-server.ts';

const idOf = (nth: number): string => `0198c3a4-7a1e-7000-8000-00000000000${nth}`;
const batch = (nth: number, start: number, counts: Record<string, number>, changes: object = {}) =>
  batchOf({ id: idOf(nth), handler: 'index-block', params: { chain: 'c', start }, ...changes }, counts);
const counted = (nth: number, is = true) => ({
  [`HEAD /v1/batches/${idOf(nth)}/inputs`]: () => ({ headers: { 'bullpen-counted': String(is) }, body: '' }),
});
const ndjson = (values: readonly object[]) => ({
  type: 'application/x-ndjson',
  body: values.map((value) => `${JSON.stringify(value)}\n`).join(''),
});

describe('gaps', () => {
  test('counts a batch that is whole by arithmetic, over all pages of the chain, and says nothing is missing', async () => {
    const whole = batch(1, 100, { total: 1000, succeeded: 1000, failed: 0 });
    const other = batch(2, 0, { total: 50 }, { params: { chain: 'other' } });
    const before = batch(3, 0, { total: 100, succeeded: 100, failed: 0 }, { params: { chain: 'c' } });
    const { url } = await smallServer({
      'GET /v1/batches': ({ url }) => {
        expect(url.searchParams.get('handler')).toBe('index-block');
        const items = url.searchParams.get('cursor') === 'next' ? [before] : [whole, other];
        return { body: { items, nextCursor: items.length === 2 ? 'next' : null } };
      },
      ...counted(1),
      ...counted(3),
    });
    expect(await callCli(['gaps', '--chain', 'c', '--url', url])).toEqual({
      code: 0,
      stderr: '',
      stdout:
        'index-block, chain c: 2 batches, heights 0–1099 (1,100)\n' +
        'One result each: 1,100 · missing: 0 · doubled: 0 · on their way: 0\n',
    });
  });

  test('prints at most 50 ranges of a kind, and how much more there is; --json has them all', async () => {
    const failed = Array.from({ length: 60 }, (_, at) => ({ index: 2 * at + 1, status: 'failed', output: null }));
    const { url } = await smallServer({
      'GET /v1/batches': () => ({
        body: { items: [batch(1, 0, { total: 1000, succeeded: 940, failed: 60 })], nextCursor: null },
      }),
      ...counted(1),
      [`GET /v1/batches/${idOf(1)}/results`]: ({ url }) => {
        expect(url.search).toBe('?status=failed');
        return ndjson(failed);
      },
    });
    const { code, stdout } = await callCli(['gaps', '--chain', 'c', '--url', url]);
    expect(stdout.split('\n').slice(1, 4)).toEqual(['Missing', '  1', '  3']);
    expect(stdout).toContain(
      '\n  99\n  … and 10 ranges more (10 heights): --json tells them all\nOne result each: 940',
    );
    expect(code).toBe(1);
    const facts = JSON.parse((await callCli(['gaps', '--chain', 'c', '--url', url, '--json'])).stdout) as {
      missing: { ranges: unknown[] };
    };
    expect(facts.missing.ranges.length).toBe(60);
    expect(facts).toMatchObject({ from: 0, to: 999, single: 940, missing: { count: 60 }, submitted: [], left: 0 });
    const some = await callCli(['gaps', '--chain', 'c', '--url', url, '--from', '119', '--to', '1002']);
    expect(some.stdout).toMatch(/heights 119–1002 \(884\)\nMissing\n {2}119\n {2}1000–1002 \(3\)\nOne/);
  });

  test('tells of results that name no height', async () => {
    const given = batch(1, 0, { total: 3, succeeded: 3, failed: 0 });
    const { url } = await smallServer({
      'GET /v1/batches': () => ({ body: { items: [given], nextCursor: null } }),
      ...counted(1, false),
      [`GET /v1/batches/${idOf(1)}/results`]: () =>
        ndjson(
          [{ height: 4 }, { height: '5' }, { height: -1 }].map((output, index) => ({
            index,
            status: 'succeeded',
            output,
          })),
        ),
    });
    const { code, stdout } = await callCli(['gaps', '--chain', 'c', '--url', url]);
    expect(stdout).toMatch(/heights 4\n.*\n2 items with no height in output or input\n$/);
    expect(code).toBe(0);
  });

  test('leaves out what was run dry, and refuses where results of succeeded items were not kept', async () => {
    const dry = batch(2, 5000, { total: 10, succeeded: 10, failed: 0 }, { options: { dryRun: true } });
    const forgetful = (changes: object) => ({ options: { keepResults: 'failed' }, ...changes });
    let items = [dry, batch(1, 0, { total: 9, succeeded: 9, failed: 0 }, forgetful({}))];
    let isCounted = true;
    const { url } = await smallServer({
      'GET /v1/batches': () => ({ body: { items, nextCursor: null } }),
      [`HEAD /v1/batches/${idOf(1)}/inputs`]: () => ({ headers: { 'bullpen-counted': String(isCounted) }, body: '' }),
    });
    const call = () => callCli(['gaps', '--chain', 'c', '--url', url]);
    expect(await call()).toMatchObject({ code: 0, stdout: expect.stringContaining('1 batch, heights 0–8 (9)\n') });
    const refused = {
      code: 1,
      stdout: '',
      stderr: expect.stringContaining(`Batch ${idOf(1)} keeps the results of failed`),
    };
    isCounted = false;
    expect(await call()).toMatchObject(refused);
    isCounted = true;
    items = [batch(1, 0, { total: 9, succeeded: 5, failed: 0 }, forgetful({ state: 'cancelled' }))];
    expect(await call()).toMatchObject(refused);
  });

  test.each([
    [['gaps'], 2, "required option '--chain <name>'"],
    [['gaps', '--chain', 'c', '--from', '5', '--to', '4'], 2, '--from 5 is above --to 4'],
    [['gaps', '--chain', 'c', '--priority', '3'], 2, '--priority needs --submit'],
    [['gaps', '--chain', 'd'], 1, 'There is no batch of index-block with params.chain "d"'],
  ])('%j ends with %i', async (args, code, words) => {
    const items = [batch(1, 0, {})];
    const { url } = await smallServer({ 'GET /v1/batches': () => ({ body: { items, nextCursor: null } }) });
    expect(await callCli([...args, '--url', url])).toMatchObject({
      code,
      stdout: '',
      stderr: expect.stringContaining(words),
    });
  });
});

describe('gaps of a service', () => {
  let house: House;
  beforeAll(async () => void (house = await startHouse({ workers: 1 })));
  afterAll(() => house.stop());

  /** A node that has no block at some heights, and keeps others waiting until it is told. */
  async function openNode(isMissing: (height: number) => boolean) {
    const held: ServerResponse[] = [];
    let missing = isMissing;
    let isHolding: typeof isMissing = () => false;
    const say = (response: ServerResponse, status: number): void =>
      void response.writeHead(status).end('{"hash": "h"}');
    const server = createServer((request, response) => {
      const height = Number(request.url!.slice(1));
      if (isHolding(height)) held.push(response);
      else say(response, missing(height) ? 404 : 200);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/{height}`,
      heal: () => void (missing = () => false),
      hold: (is: (height: number) => boolean) => void (isHolding = is),
      release: () => {
        isHolding = () => false;
        for (const response of held.splice(0)) say(response, 200);
      },
      close: () => {
        server.closeAllConnections();
        server.close();
      },
    };
  }

  const look = async (...more: string[]) => {
    const { code, stdout, stderr } = await callCli(['gaps', '--chain', 'main', '--json', ...more], {
      BULLPEN_URL: house.url(),
    });
    expect(stderr).toBe('');
    const { missing, doubled, onTheirWay, submitted } = JSON.parse(stdout) as Record<
      'missing' | 'doubled' | 'onTheirWay',
      { ranges: number[][] }
    > & { submitted: string[] };
    return { code, missing: missing.ranges, doubled: doubled.ranges, onTheirWay: onTheirWay.ranges, submitted };
  };

  test('finds failures, holes, doubles and what is on its way, and submits what is missing once', async () => {
    const client = createClient({ url: house.url() });
    const node = await openNode((height) => (height >= 10 && height < 20) || height === 150);
    const heights = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, at) => ({ height: from + at }));
    const params = { chain: 'main', url: node.url };
    const submit = (body: object): Promise<Batch> => client.submit({ handler: 'index-block', params, ...body });
    await client.submit({ handler: 'index-block', count: 70, params: { ...params, chain: 'side' } });
    const parts = [
      await submit({ count: 100 }),
      await submit({ count: 100, params: { ...params, start: 100 } }),
      await submit({ inputs: heights(250, 299) }),
      await submit({ inputs: heights(50, 59) }),
      // Of the lowest height of all it is known only because it failed.
      await submit({ inputs: heights(2000, 2009), options: { timeoutMs: 7000, chunkSize: 3 } }),
    ];
    for (const { id } of parts) await house.ended(id);
    const found = {
      missing: [[10, 19], [150, 150], [200, 249], [300, 1999]],
      doubled: [[50, 59]],
    }; // prettier-ignore
    expect(await look()).toEqual({ code: 1, ...found, onTheirWay: [], submitted: [] });

    node.hold((height) => height >= 200);
    const [given, count] = [
      await submit({ inputs: heights(210, 219) }),
      await submit({ count: 5, params: { ...params, start: 240 } }),
    ];
    const during = await look();
    expect(during.onTheirWay).toEqual([[210, 219], [240, 244]]); // prettier-ignore
    expect(during.missing).toEqual([[10, 19], [150, 150], [200, 209], [220, 239], [245, 249], [300, 1999]]); // prettier-ignore

    node.heal();
    node.hold(() => true);
    const both = await Promise.all([look('--submit'), look('--submit')]);
    const submitted = [...new Set(both.flatMap((each) => each.submitted))];
    expect(submitted.length).toBe(2);
    const [long, short] = (await Promise.all(submitted.map((id) => client.getBatch(id)))).sort(
      (a, b) => b.counts.total - a.counts.total,
    );
    expect(long).toMatchObject({
      counts: { total: 1700 },
      params: { ...params, start: 300 },
      options: { priority: 9 },
    });
    expect(short).toMatchObject({ counts: { total: 46 }, params, name: 'gaps of main' });
    const again = await look('--submit', '--priority', '2');
    expect(again).toEqual({ code: 1, missing: [], doubled: [[50, 59]], onTheirWay: found.missing, submitted: [] });

    node.release();
    for (const id of [...submitted, given.id, count.id]) await house.ended(id);
    expect(await look()).toMatchObject({ code: 1, missing: [], doubled: [[50, 59]], onTheirWay: [] });
    expect(await look('--from', '60')).toMatchObject({ code: 0, missing: [], doubled: [], onTheirWay: [] });
    expect(await checkLedger(house.database)).toEqual([]);
    node.close();
  }, 60_000);
});
