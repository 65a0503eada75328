import { describe, expect, test } from 'vitest';
import { startTime } from '../src/options.ts';
import { rate, rateText } from '../src/rates.ts';
import { callCli } from './run-cli.ts';
import { batchId, batchOf, smallServer } from './small-server.ts';

describe('a rate', () => {
  test.each([
    ['50/s', 50, 1000],
    ['3000/m', 3000, 60_000],
    ['100/250ms', 100, 250],
    ['1/h', 1, 3_600_000],
    ['1_000/10s', 1000, 10_000],
  ])('%s', (text, limit, perMs) => {
    expect(rate(text)).toEqual({ limit, perMs });
    expect(rate(rateText({ limit, perMs }))).toEqual({ limit, perMs });
  });

  test.each(['', '50', '50/', '/s', '50 /s', '0/s', '1.5/s', '50/0s', '50/w', '50/25h', '1000001/s', 'none'])(
    'is not %j',
    (text) => expect(() => rate(text)).toThrow(/^It must be a/),
  );
});

const running = batchOf({ state: 'running' });
const one = `/v1/batches/${batchId}`;
const handler = (limits: object) => ({
  name: 'add',
  description: 'Adds',
  input: null,
  params: null,
  chunkSize: null,
  limits,
});

describe('submit', () => {
  test('sends limits', async () => {
    const { url, posted } = await smallServer({ 'POST /v1/batches': () => ({ status: 202, body: running }) });
    const args = ['--rate-limit', '3000/m', '--cost', '2', '--concurrency', '7', '--url', url];
    expect(await callCli(['submit', '--handler', 'echo', '--count', '5', ...args])).toMatchObject({ code: 0 });
    const options = { rateLimit: { limit: 3000, perMs: 60_000, cost: 2 }, concurrency: 7 };
    expect(posted).toEqual([{ handler: 'echo', count: 5, options }]);
  });

  test.each([
    [['--cost', '2'], '--cost is slots of a rate limit: give --rate-limit too'],
    [['--rate-limit', '50'], 'It must be a number in a time of up to a day: 50/s, 3000/m, 1/h, 100/250ms.'],
    [['--concurrency', '0'], 'It must be a whole number from 1 to 100000.'],
  ])('%j is refused', async (args, line) => {
    const { code, stderr } = await callCli(['submit', '--handler', 'echo', '--count', '5', ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(line);
  });
});

describe('brakes', () => {
  test('are sent by submit and set', async () => {
    const { url, posted } = await smallServer({
      'POST /v1/batches': () => ({ status: 202, body: running }),
      [`PATCH ${one}`]: () => ({ body: running }),
    });
    const given = ['--max-failures', '5', '--max-failure-rate', '5%', '--canary', '1e3', '--keep-results', 'failed'];
    await callCli([
      'submit',
      '--handler',
      'echo',
      '--count',
      '5',
      ...given,
      '--not-before',
      '2026-01-31T18:00:00+01:00',
      '--url',
      url,
    ]);
    await callCli(['set', batchId, '--max-failures', 'none', '--max-failure-rate', '0.5', '--url', url]);
    const notBefore = '2026-01-31T17:00:00.000Z';
    const options = { maxFailures: 5, maxFailureRate: 0.05, canary: 1000, notBefore, keepResults: 'failed' };
    expect(posted).toEqual([
      { handler: 'echo', count: 5, options },
      { options: { maxFailures: null, maxFailureRate: 0.5 } },
    ]);
  });

  test.each([
    ['--not-before', 'soon'],
    ['--not-before', '2026-01-31'],
    ['--max-failure-rate', '101%'],
    ['--keep-results', 'none'],
  ])('%s %s is refused', async (...args) => {
    expect((await callCli(['submit', '--handler', 'echo', '--count', '5', ...args])).code).toBe(2);
  });

  test('a time from now is a time', () => {
    const ms = Date.parse(startTime('90s')) - Date.now();
    expect(ms).toBeGreaterThan(80_000);
    expect(ms).toBeLessThanOrEqual(90_000);
  });
});

describe('set', () => {
  test('changes what is named, and takes away what is none', async () => {
    const limits = { rateLimit: { limit: 500, perMs: 1000, cost: 2 }, concurrency: 3 };
    const options = { ...running.options, ...limits, groupBy: 'customer', ordered: true, dryRun: true };
    const { url, posted } = await smallServer({
      [`PATCH ${one}`]: () => ({ body: { ...running, options } }),
      [`GET ${one}`]: () => ({ body: { ...running, options } }),
    });
    const set = (...args: string[]) => callCli(['set', batchId, ...args, '--url', url]);
    const { code, stdout } = await set('--rate-limit', '500/s', '--name', 'slow');
    expect(code).toBe(0);
    expect(stdout).toMatch(/handler +echo \(dry run\)\n/);
    expect(stdout).toMatch(/groups +by customer, in order\nlimits +500\/s, 2 an item; 3 at once/);
    await set('--rate-limit', 'none', '--concurrency', '5');
    await set('--cost', '4');
    expect(posted).toEqual([
      { name: 'slow', options: { rateLimit: { limit: 500, perMs: 1000 } } },
      { options: { rateLimit: null, concurrency: 5 } },
      { options: { rateLimit: { limit: 500, perMs: 1000, cost: 4 } } },
    ]);
  });

  test.each([
    [[], 'Say what to change'],
    [['--rate-limit', 'none', '--cost', '2'], '--cost is slots of a rate limit'],
    [['--cost', '2'], 'The batch has no rate limit'],
  ])('%j is refused', async (args, line) => {
    const { url } = await smallServer({ [`GET ${one}`]: () => ({ body: running }) });
    const { code, stderr } = await callCli(['set', batchId, ...args, '--url', url]);
    expect(code).toBe(2);
    expect(stderr).toContain(line);
  });
});

describe('limits', () => {
  test('shows and sets those of a handler; what is not named stays', async () => {
    const limits = { rateLimit: { limit: 50, perMs: 1000 }, concurrency: 4 };
    const { url, posted } = await smallServer({
      'GET /v1/handlers': () => ({ body: { items: [handler(limits)] } }),
      'PUT /v1/handlers/add/limits': ({ body }) => ({ body }),
    });
    const call = (...args: string[]) => callCli(['limits', ...args, '--url', url]);
    expect((await call('add')).stdout).toBe('add: 50/s, 4 at once\n');
    expect((await call('add', '--rate-limit', 'none')).stdout).toBe('add: 4 at once\n');
    expect(JSON.parse((await call('add', '--concurrency', 'none', '--json')).stdout)).toEqual({
      ...limits,
      concurrency: null,
    });
    expect(posted).toEqual([
      { rateLimit: null, concurrency: 4 },
      { rateLimit: { limit: 50, perMs: 1000 }, concurrency: null },
    ]);
    const { code, stderr } = await call('nobody');
    expect(code).toBe(1);
    expect(stderr).toContain('There is no handler nobody');
  });

  test('says when there are none', async () => {
    const none = handler({ rateLimit: null, concurrency: null });
    const { url } = await smallServer({ 'GET /v1/handlers': () => ({ body: { items: [none] } }) });
    expect((await callCli(['limits', 'add', '--url', url])).stdout).toBe('add: not limited\n');
  });
});
