import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { callCli, runCli, startCli } from './run-cli.ts';
import { batchId, batchOf, problem, smallServer, workersOf } from './small-server.ts';

const one = `/v1/batches/${batchId}`;

describe('submit', () => {
  test('sends what was asked for and says what to do next', async () => {
    const { url, posted } = await smallServer({
      'POST /v1/batches': () => ({ status: 202, body: batchOf({ state: 'running' }) }),
    });
    const args = [
      'submit',
      '--handler',
      'echo',
      '--count',
      '1_000',
      '--params',
      '{"a": 1}',
      '--name',
      'nightly',
      '--max-attempts',
      '5',
    ];
    const { code, stdout, stderr } = await runCli([...args, '--url', url]);
    expect(posted).toEqual([
      { handler: 'echo', count: 1000, name: 'nightly', params: { a: 1 }, options: { maxAttempts: 5 } },
    ]);
    expect(stdout).toContain(`Accepted: batch ${batchId}, 1,000 items for echo.`);
    expect(stdout).toMatch(new RegExp(`bullpen (-- )?watch ${batchId}`));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test('reads inputs from stdin and from a file beside the user', async () => {
    const { url, posted } = await smallServer({ 'POST /v1/batches': () => ({ status: 202, body: batchOf() }) });
    const folder = await mkdtemp(join(tmpdir(), 'bullpen-cli-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'numbers.json'), '[{"a": 1}]');
    const env = { INIT_CWD: folder, BULLPEN_URL: url };
    expect(await runCli(['submit', '--handler', 'add', '-', '--json'], { env, stdin: '[1, 2]' })).toMatchObject({
      code: 0,
    });
    expect(await runCli(['submit', '--handler', 'add', '--inputs', 'numbers.json'], { env })).toMatchObject({
      code: 0,
    });
    expect(posted).toEqual([
      { handler: 'add', inputs: [1, 2] },
      { handler: 'add', inputs: [{ a: 1 }] },
    ]);
  });

  test('lists every fault of a refused batch with its place', async () => {
    const errors = [
      { pointer: '/inputs/0/a', message: 'expected number' },
      { pointer: '/inputs/3/b', message: 'required' },
    ];
    const body = problem(422, 'invalid-input', 'Invalid input', '2 of 4 inputs do not fit the handler add', errors);
    const { url } = await smallServer({ 'POST /v1/batches': () => ({ status: 422, body }) });
    const { code, stdout, stderr } = await runCli(['submit', '--handler', 'add', '--count', '4', '--url', url]);
    expect(stderr.trimEnd().split('\n')).toEqual([
      'Invalid input: 2 of 4 inputs do not fit the handler add (HTTP 422)',
      '  /inputs/0/a: expected number',
      '  /inputs/3/b: required',
    ]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  test.each([
    [['submit', '--count', '3'], "required option '--handler <name>' not specified"],
    [['submit', '--handler', 'echo'], 'Give either --count N or a file'],
    [['submit', '--handler', 'echo', '--count', '3', '-'], 'Give either --count N or a file'],
    [['submit', '--handler', 'echo', '--count', 'many'], 'It must be a whole number from 1'],
    [['list', '--state', 'done'], 'Allowed choices are running, paused, completed, cancelled'],
    [['list', '--url', 'localhost'], '--url must be a URL'],
    [['sumbit'], '(Did you mean submit?)'],
    [['list', '--limt', '3'], '(Did you mean --limit?)'],
  ])('%j is wrong usage', async (args, words) => {
    const { code, stdout, stderr } = await callCli(args);
    expect(stderr).toContain(words);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

describe('watch', () => {
  const running = batchOf({ state: 'running', finishedAt: null }, { pending: 500, succeeded: 490 });

  test('shows the progress on stderr and the end on stdout', async () => {
    let waits = 0;
    const { url } = await smallServer({
      [`GET ${one}`]: ({ url }) => ({ body: url.searchParams.has('wait') && ++waits === 2 ? batchOf() : running }),
      'GET /v1/workers': () => ({ body: workersOf(2) }),
    });
    const { code, stdout, stderr } = await runCli(['watch', batchId, '--url', url]);
    expect(stdout).toContain('Completed: 1,000 items in 2.0 s (500 items/s), 10 failed.');
    expect(stderr.trimEnd().split('\n').at(-1)).toBe('100%  1,000/1,000 · 10 failed · completed');
    expect(code).toBe(0);
  });

  test('ends with the summary where there is one, and so does show', async () => {
    const { url } = await smallServer({ [`GET ${one}`]: () => ({ body: batchOf({ summary: { sum: 42 } }) }) });
    const [watched, shown] = await Promise.all([
      callCli(['watch', batchId, '--url', url]),
      callCli(['show', batchId, '--url', url]),
    ]);
    for (const { stdout } of [watched, shown]) expect(stdout).toMatch(/\n\n\{\n {2}"sum": 42\n\}\n$/);
  });

  test('ends with 1 when the batch was cancelled; --json prints the batch alone', async () => {
    const cancelled = batchOf({ state: 'cancelled' }, { succeeded: 490, cancelled: 500 });
    const { url } = await smallServer({ [`GET ${one}`]: () => ({ body: cancelled }) });
    const { code, stdout } = await runCli(['watch', batchId, '--url', url, '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ id: batchId, state: 'cancelled' });
    expect(code).toBe(1);
  });

  test('leaves the batch running on Ctrl-C and says how to come back', async () => {
    let asked: () => void = () => {};
    const seen = new Promise<void>((resolve) => (asked = resolve));
    const { url } = await smallServer({
      [`GET ${one}`]: ({ url }) =>
        url.searchParams.has('wait') ? (asked(), new Promise(() => {})) : { body: running },
      'GET /v1/workers': () => ({ body: workersOf(2) }),
    });
    const cli = startCli(['watch', batchId, '--url', url]);
    await seen;
    cli.child.kill('SIGINT');
    const { code, stderr } = await cli.ended;
    expect(stderr).toMatch(new RegExp(`The batch goes on. Watch it again: .*bullpen (-- )?watch ${batchId}`));
    expect(code).toBe(130);
  });
});

describe('delete', () => {
  test('says what it has deleted, or why it cannot; last, which is another one the next time, is refused', async () => {
    const found = { [`GET ${one}`]: () => ({ body: batchOf() }) };
    const { url } = await smallServer({ ...found, [`DELETE ${one}`]: () => ({ status: 204, body: '' }) });
    expect(await callCli(['delete', batchId, '--url', url])).toEqual({
      code: 0,
      stdout: `Deleted: batch ${batchId}, 1,000 items of echo.\n`,
      stderr: '',
    });
    const gone = await smallServer({ [`DELETE ${one}`]: () => ({ status: 204, body: '' }) });
    expect(await callCli(['delete', batchId, '--url', gone.url])).toMatchObject({
      code: 0,
      stdout: `Deleted: batch ${batchId}.\n`,
    });
    const { stdout } = await callCli(['delete', batchId, '--url', url, '--json']);
    expect(JSON.parse(stdout)).toEqual({ batchId, deleted: true });
    const problem = {
      type: '/problems/invalid-state',
      title: 'No',
      status: 409,
      detail: 'The batch is running',
      instance: one,
    };
    expect(await callCli(['delete', 'last', '--url', url])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Give the id'),
    });
    const busy = await smallServer({
      ...found,
      [`DELETE ${one}`]: () => ({ status: 409, type: 'application/problem+json', body: problem }),
    });
    expect(await callCli(['delete', batchId, '--url', busy.url])).toMatchObject({
      code: 1,
      stderr: 'No: The batch is running (HTTP 409)\n',
    });
  });
});

describe('results', () => {
  const lines = Array.from({ length: 5000 }, (_, index) =>
    JSON.stringify({ index, status: 'succeeded', output: 'x'.repeat(100) }),
  );
  const stream = (text: string) => ({ type: 'application/x-ndjson', body: text });

  test('are printed as they come, at most as many as asked for', async () => {
    const { url } = await smallServer({ [`GET ${one}/results`]: () => stream(`${lines.join('\n')}\n`) });
    const all = await runCli(['results', batchId, '--url', url]);
    expect(all.stdout).toBe(`${lines.join('\n')}\n`);
    const three = await runCli(['results', batchId, '--url', url, '--limit', '3']);
    expect(three).toEqual({ code: 0, stdout: `${lines.slice(0, 3).join('\n')}\n`, stderr: '' });
  });

  test('of a batch that runs say on stderr that there will be more', async () => {
    const { url } = await smallServer({ [`GET ${one}/results`]: () => stream(`${lines[0]}\n{"complete": false}\n`) });
    const people = await runCli(['results', batchId, '--url', url]);
    expect(people).toEqual({
      code: 0,
      stdout: `${lines[0]}\n`,
      stderr: 'The batch still runs: these are the results so far.\n',
    });
    const script = await runCli(['results', batchId, '--url', url, '--json']);
    expect(script).toEqual({ code: 0, stdout: `${lines[0]}\n{"complete": false}\n`, stderr: '' });
  });

  test('come as CSV, of a batch that runs with a word on stderr', async () => {
    const asked: string[] = [];
    const rows = `a,index\n${'"two\nlines",1\n'.repeat(20_000)}`;
    const complete = (value: boolean) => ({
      type: 'text/csv',
      headers: { 'bullpen-complete': String(value) },
      body: rows,
    });
    const { url } = await smallServer({
      [`GET ${one}/results`]: ({ url }) => {
        asked.push(url.search);
        return complete(!url.searchParams.has('status'));
      },
    });
    const whole = ['results', batchId, '--url', url, '--csv', '--inputs', '--escape-formulas', '--after', '7'];
    expect(await runCli(whole)).toEqual({ code: 0, stdout: rows, stderr: '' });
    const some = ['results', batchId, '--url', url, '--csv', '--status', 'failed', '--inputs-only'];
    const stderr = 'The batch still runs: these are the results so far.\n';
    expect(await runCli(some)).toEqual({ code: 0, stdout: rows, stderr });
    expect(asked).toEqual(['?after=7&inputs=true&escapeFormulas=true', '?status=failed&inputs=only']);
    const cli = startCli(some);
    cli.child.stdout.destroy();
    expect(await cli.ended).toMatchObject({ code: 0, stderr: '' });
  });

  test.each([
    [['--escape-formulas'], '--escape-formulas needs --csv'],
    [['--csv', '--json'], '--json cannot be used with --csv'],
    [['--csv', '--limit', '3'], '--limit cannot be used with --csv'],
    [['--item', '3', '--limit', '1'], '--item is one result: it cannot be used with'],
    [['--csv', '--inputs', '--inputs-only'], '--inputs cannot be used with --inputs-only'],
    [['--after', '-1'], 'It must be a whole number from 0 to 9007199254740991'],
  ])('%j is refused', async (options, line) => {
    const { code, stdout, stderr } = await callCli(['results', batchId, ...options]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(line);
  });

  test('end quietly when the reader goes away', async () => {
    const { url } = await smallServer({ [`GET ${one}/results`]: () => stream(`${lines.join('\n')}\n`) });
    const cli = startCli(['results', batchId, '--url', url]);
    cli.child.stdout.destroy();
    const { code, stderr } = await cli.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

describe('lists', () => {
  test('batches, workers and handlers stand in columns', async () => {
    const { url } = await smallServer({
      'GET /v1/batches': ({ url }) => ({
        body: { items: url.searchParams.get('state') === 'paused' ? [] : [batchOf()], nextCursor: null },
      }),
      'GET /v1/workers': () => ({ body: workersOf(2) }),
      'GET /v1/handlers': () => ({
        body: { items: [{ name: 'add', description: 'Adds two numbers', dryRun: true, input: {}, params: null }] },
      }),
    });
    const env = { BULLPEN_URL: url };
    const [batches, none, workers, handlers] = await Promise.all([
      callCli(['list'], env),
      callCli(['list', '--state', 'paused'], env),
      callCli(['workers'], env),
      callCli(['handlers'], env),
    ]);
    expect(batches.stdout).toMatch(/^BATCH +HANDLER +STATE +DONE +ITEMS +FAILED +CREATED +NAME\n/);
    expect(batches.stdout).toMatch(/ echo +completed +100% +1,000 +10 .* nightly\n$/);
    expect(none.stdout).toContain('There is no such batch.');
    expect(workers.stdout).toMatch(/host-1 +host:101 .* 12,345 +679 +0\.2\/0\.4\n$/);
    expect(handlers.stdout).toMatch(/add +yes +Adds two numbers\n$/);
  });

  test('partitions stand in columns with owner, since when and helpers', async () => {
    const row = {
      partition: 0,
      owner: batchId,
      ownerName: 'host-1',
      takenAt: '2026-01-01T00:00:00.000Z',
      expiresAt: '2026-01-01T00:00:05.000Z',
      pinnedTo: null,
      reserved: false,
      helpers: ['host-3'],
      epoch: 4,
      backlog: 2,
      running: 8,
      oldestMs: 1500,
    };
    const none = { owner: null, ownerName: null, takenAt: null, expiresAt: null, helpers: [], oldestMs: null };
    const items = [row, { ...row, pinnedTo: 'host-2' }, { ...row, ...none, reserved: true }, { ...row, ...none }];
    const { url } = await smallServer({ 'GET /v1/partitions': () => ({ body: { items } }) });
    const lines = (await callCli(['partitions', '--url', url])).stdout.split('\n');
    expect(lines[0]).toMatch(/^PARTITION +OWNER +SINCE +EPOCH +QUEUED +RUNNING +OLDEST +HELPERS$/);
    expect(lines[1]).toMatch(/^ +0 +host-1 +\d.* +4 +2 +8 +1\.5 s +host-3$/);
    expect(lines[2]).toContain('host-1 (goes to host-2)');
    expect(lines[3]).toContain('kept for a pinned worker that is away');
    expect(lines[4]).toMatch(/^ +0 +– +– +4 +2 +8 +– +–$/);
    expect(JSON.parse((await callCli(['partitions', '--url', url, '--json'])).stdout)).toEqual({ items });
  });

  test('failures are shown by cause', async () => {
    const failure = (message: string, count: number) => ({
      fingerprint: 'f',
      code: 'error',
      message,
      count,
      firstIndex: 3,
      lastIndex: 99,
      sample: {},
    });
    let items = [failure('broken\u001b[31m pipe', 12_345), failure('no such user', 2)];
    const { url } = await smallServer({
      [`GET /v1/batches/${batchId}/failures`]: () => ({ body: { items, causes: items.length && 5 } }),
    });
    const lines = (await callCli(['failures', batchId, '--url', url])).stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^ +ITEMS +FIRST +LAST +CODE +MESSAGE$/);
    expect(lines[1]).toMatch(/^12,345 +3 +99 +error +broken.*pipe$/);
    expect(lines[1]).not.toContain('\u001b');
    expect(lines.slice(4)).toEqual([
      '3 causes more: --limit 5',
      expect.stringMatching(/^One of the first: .*bullpen .*results \S+ --status failed --limit 1$/),
    ]);
    items = [];
    expect((await callCli(['failures', batchId, '--url', url])).stdout).toBe('No item of it has failed.\n');
  });

  test('workers say what they are pinned to, whom they help, and why they are idle', async () => {
    const [a, b, c] = workersOf(3).items as [object, object, object];
    const idle = { ...c, partitions: [], idle: 'nobody owns a partition that it could serve' };
    const { id } = workersOf(1).items[0]!;
    const second = { ...a, partitions: [3, 4], pins: [0, 1, 2], pinsHeldBy: 'host-0' };
    const items = [{ ...a, pins: [0, 1, 2] }, { ...b, partitions: [], helping: id }, idle, second];
    const { url } = await smallServer({ 'GET /v1/workers': () => ({ body: { items } }) });
    const lines = (await callCli(['workers', '--url', url])).stdout.trimEnd().split('\n');
    expect(lines[1]).toContain(' 0 (pins 0-2) ');
    expect(lines[2]).toContain(' helps host-0 ');
    expect(lines[3]).toContain(' idle ');
    expect(lines[4]).toContain(' 3-4 (unpinned: host-0 has 0-2) ');
    expect(lines[5]).toBe('host-2 is idle: nobody owns a partition that it could serve');
  });

  test.each([
    [
      ['worker', '--scale', '3'],
      { WORKER_INDEX: '0', WORKER_COUNT: '3' },
      'WORKER_INDEX pins one worker, and this starts 3',
    ],
    [['worker', '--scale', '2'], { WORKER_PARTITIONS: '0-3' }, 'WORKER_PARTITIONS pins one worker, and this starts 2'],
    [['start'], { WORKER_INDEX: '0', WORKER_COUNT: '3', PORT: '0' }, 'WORKER_INDEX pins one worker, and this starts 3'],
  ])('%j with pins of one worker is refused', async (args, env, words) => {
    const { code, stderr } = await callCli(args, env);
    expect(stderr).toContain(words);
    expect(code).toBe(78);
  });

  test('show tells one batch in facts, and an unknown one as a problem', async () => {
    const { url } = await smallServer({ [`GET ${one}`]: () => ({ body: batchOf() }) });
    const shown = await callCli(['show', batchId, '--url', url]);
    expect(shown.stdout).toMatch(/state +completed\nitems +1,000 of 1,000 done \(100%\)\n +990 succeeded, 10 failed\n/);
    const unknown = await callCli(['show', '0198c3a4-7a1e-7000-8000-00000000ffff', '--url', url]);
    expect(unknown).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('(HTTP 404)') });
  });

  test('last is the newest batch, and there may be none', async () => {
    const { url } = await smallServer({
      'GET /v1/batches': ({ url }) => ({
        body: { items: [batchOf()].slice(0, Number(url.searchParams.get('limit'))) },
      }),
      [`GET ${one}`]: () => ({ body: batchOf() }),
      [`GET ${one}/results`]: () => ({ type: 'application/x-ndjson', body: '{"index":0}\n' }),
    });
    const answers = await Promise.all(
      ['show', 'watch', 'results'].map((name) => callCli([name, 'last', '--url', url])),
    );
    expect(answers.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(answers[0]!.stdout).toContain(batchId);
    expect(answers[2]!.stdout).toBe('{"index":0}\n');
    const empty = await smallServer({ 'GET /v1/batches': () => ({ body: { items: [] } }) });
    expect(await callCli(['show', 'last', '--url', empty.url])).toMatchObject({
      code: 1,
      stderr: 'There is no batch yet.\n',
    });
  });

  test('a producer that is not there is told with the way out', async () => {
    const { code, stdout, stderr } = await callCli(['list', '--url', 'http://127.0.0.1:9']);
    expect(stderr).toContain('http://127.0.0.1:9');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  test('settings that cannot be used end with 78, all problems named', async () => {
    const { code, stderr } = await callCli(['list'], { PORT: 'x', LEASE_MS: '1' });
    expect(stderr).toMatch(/PORT must be .*\n.*LEASE_MS must be /);
    expect(code).toBe(78);
  });

  test('each command explains itself with examples', async () => {
    const top = await callCli(['--help']);
    expect(top.code).toBe(0);
    const names = [
      'start',
      'demo',
      'producer',
      'worker',
      'dev',
      'doctor',
      'submit',
      'validate',
      'append',
      'close',
      'job',
      'watch',
      'list',
      'show',
      'results',
      'gaps',
      'workers',
      'partitions',
      'handlers',
    ];
    const helps = await Promise.all(names.map((name) => callCli([name, '--help'])));
    for (const [at, { code, stdout, stderr }] of helps.entries()) {
      expect(top.stdout).toContain(`  ${names[at]}`);
      expect(stdout).toContain('Examples:');
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    }
  });
});
