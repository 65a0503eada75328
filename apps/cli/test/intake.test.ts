import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, afterAll, describe, expect, test } from 'vitest';
import { callCli } from './run-cli.ts';
import { batchId, batchOf, problem, smallServer } from './small-server.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bullpen-cli-'));
  const write = (name: string, text: string | Buffer): Promise<void> => writeFile(join(folder, name), text);
  await write('lines.ndjson', '1\n2\n');
  await write('lines.jsonl', '1\n2\n');
  await write('rows.csv', 'a\n1\n');
  await write('rows.csv.gz', gzipSync('a\n1\n'));
  await write('array.json', '[{"a": 1}, {"a": "x"}]');
  await write('array.json.gz', gzipSync('[1]'));
  await write('words.txt', '1\n');
});
afterAll(() => rm(folder, { recursive: true }));

const call = (url: string, args: string[], input = '') => callCli(args, { INIT_CWD: folder, BULLPEN_URL: url }, input);
const optionsOf = (header: unknown): unknown => JSON.parse(Buffer.from(String(header), 'base64url').toString());
const accepting = { 'POST /v1/batches': () => ({ status: 202, body: batchOf({ state: 'running' }) }) };
const items = `/v1/batches/${batchId}/items`;

describe('submit', () => {
  test.each([
    ['lines.ndjson', [], 'application/x-ndjson', undefined, '1\n2\n'],
    ['lines.jsonl', [], 'application/x-ndjson', undefined, '1\n2\n'],
    ['rows.csv', [], 'text/csv', undefined, 'a\n1\n'],
    ['rows.csv.gz', [], 'text/csv', 'gzip', 'a\n1\n'],
    ['array.json', [], 'application/json', undefined, { handler: 'echo', inputs: [{ a: 1 }, { a: 'x' }] }],
    ['words.txt', ['--format', 'ndjson'], 'application/x-ndjson', undefined, '1\n'],
    ['-', ['--format', 'csv'], 'text/csv', undefined, '[7]'],
    ['-', [], 'application/json', undefined, { handler: 'echo', inputs: [7] }],
  ])('sends %s %j as %s %s', async (file, options, type, encoding, body) => {
    const { url, posted, headers } = await smallServer(accepting);
    const { code, stderr } = await call(url, ['submit', file, '--handler', 'echo', ...options], '[7]');
    expect({ code, stderr, posted }).toEqual({ code: 0, stderr: '', posted: [body] });
    expect(headers[0]).toMatchObject({ 'content-type': type, 'idempotency-key': expect.stringMatching(/^cli-/) });
    expect(headers[0]!['content-encoding']).toBe(encoding);
  });

  test('lets params and options travel in the header, not in the URL', async () => {
    const { url, paths, headers } = await smallServer(accepting);
    const options = ['--params', '{"secret": "é"}', '--name', 'my rows', '--max-attempts', '5', '--on-invalid', 'skip'];
    const groups = ['--group-by', '7', '--ordered', '--group-concurrency', '2', '--dry-run'];
    const { stdout } = await call(url, [
      'submit',
      'rows.csv',
      '--handler',
      'echo',
      ...options,
      ...groups,
      '--key',
      'mine',
      '--open',
    ]);
    expect(paths).toEqual(['/v1/batches?handler=echo&name=my+rows']);
    expect(headers[0]!['idempotency-key']).toBe('mine');
    expect(optionsOf(headers[0]!['bullpen-options'])).toEqual({
      params: { secret: 'é' },
      options: {
        maxAttempts: 5,
        onInvalid: 'skip',
        open: true,
        groupBy: '7',
        ordered: true,
        groupConcurrency: 2,
        dryRun: true,
      },
    });
    expect(stdout).toContain(`Accepted: batch ${batchId}, 1,000 items for echo.`);
  });

  test('sends a JSON array as NDJSON where lines may be skipped', async () => {
    const { url, posted } = await smallServer(accepting);
    expect(await call(url, ['submit', 'array.json', '--handler', 'add', '--on-invalid', 'skip'])).toMatchObject({
      code: 0,
    });
    expect(posted).toEqual(['{"a":1}\n{"a":"x"}\n']);
  });

  test('makes an open batch of nothing, and says what to do with it', async () => {
    const { url, posted } = await smallServer({
      'POST /v1/batches': () => ({ status: 202, body: batchOf({ state: 'running', sealed: false }) }),
    });
    const { stdout } = await call(url, ['submit', '--handler', 'add', '--open']);
    expect(posted).toEqual([{ handler: 'add', options: { open: true } }]);
    expect(stdout).toMatch(new RegExp(`append ${batchId} FILE\\n.*close ${batchId}\\n`));
  });

  test('names line and field of a fault', async () => {
    const body = problem(422, 'invalid', 'Invalid', 'Line 3 does not fit', [
      { line: 3, pointer: '/a', message: 'expected a number' },
      { line: 4, message: 'is cut' },
    ]);
    const { url } = await smallServer({ 'POST /v1/batches': () => ({ status: 422, body }) });
    const { code, stderr } = await call(url, ['submit', 'lines.ndjson', '--handler', 'add']);
    expect(stderr.trimEnd().split('\n').slice(1)).toEqual(['  line 3, /a: expected a number', '  line 4: is cut']);
    expect(code).toBe(1);
  });

  test('says nothing about sending again when nobody is there', async () => {
    const { code, stderr } = await call('http://127.0.0.1:9', ['submit', 'lines.ndjson', '--handler', 'echo']);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/^No Bullpen answers at .*\n$/) });
  });

  test.each([
    [['words.txt'], 'The name words.txt does not say what it holds: name it .ndjson'],
    [['array.json.gz'], 'A JSON array is not taken as gzip'],
    [['missing.csv'], 'Cannot read missing.csv: there is no such file'],
    [['.'], 'Cannot read .: it is a folder'],
    [['rows.csv', '--count', '3'], 'Give either --count N or a file'],
    [['rows.csv', '--inputs', 'array.json'], 'Give the inputs once: either --inputs array.json or rows.csv'],
    [['--count', '3', '--open'], '--open cannot be used with --count'],
    [['--count', '3', '--format', 'csv'], '--format needs a file'],
    [['--count', '3', '--on-invalid', 'skip'], '--on-invalid needs a file'],
    [['rows.csv', '--on-invalid', 'drop'], 'Allowed choices are refuse, skip'],
    [['rows.csv', '--key', 'two words'], 'It must be 1 to 200 visible ASCII characters'],
  ])('%j is refused', async (args, words) => {
    const { url, posted } = await smallServer(accepting);
    const { code, stdout, stderr } = await call(url, ['submit', '--handler', 'echo', ...args]);
    expect(stderr).toContain(words);
    expect({ code, stdout, posted }).toEqual({ code: 2, stdout: '', posted: [] });
  });
});

describe('validate', () => {
  const answering = (lines: number, errors: unknown[]) => ({ 'POST /v1/batches': () => ({ body: { lines, errors } }) });
  const fault = { line: 2, pointer: '/a', message: 'expected a number' };

  test('says that all can be taken', async () => {
    const { url, paths, headers } = await smallServer(answering(12_345, []));
    const { code, stdout } = await call(url, ['validate', 'rows.csv', '--handler', 'add', '--params', '{"x": 1}']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '12,345 lines, all of them can be taken\n' });
    expect(paths).toEqual(['/v1/batches?handler=add&validate=only']);
    expect(optionsOf(headers[0]!['bullpen-options'])).toEqual({ params: { x: 1 } });
  });

  test('shows the faults in columns, and ends with 1', async () => {
    const { url } = await smallServer(answering(3, [fault, { line: 13, message: 'it ends too early' }]));
    const { code, stdout } = await call(url, ['validate', 'lines.ndjson', '--handler', 'add']);
    expect(stdout.trimEnd().split('\n')).toEqual([
      'LINE  WHERE  WHAT',
      '   2  /a     expected a number',
      '  13         it ends too early',
      '',
      '3 lines, 2 faults',
    ]);
    expect(code).toBe(1);
  });

  test('says that there are more than it shows', async () => {
    const { url } = await smallServer(
      answering(
        500,
        Array.from({ length: 100 }, () => fault),
      ),
    );
    const { stdout } = await call(url, ['validate', 'lines.ndjson', '--handler', 'add']);
    expect(stdout).toMatch(/\n500 lines, the first 100 faults\n$/);
  });

  test('of nothing ends with 1', async () => {
    const { url } = await smallServer(answering(0, []));
    const nothing = { code: 1, stdout: '0 lines: there is nothing to submit\n' };
    expect(await call(url, ['validate', '-', '--format', 'csv', '--handler', 'add'])).toMatchObject(nothing);
  });

  test('sends a JSON array line by line, and numbers its elements as results are', async () => {
    const { url, posted } = await smallServer(answering(2, [fault]));
    const { stdout } = await call(url, ['validate', 'array.json', '--handler', 'add']);
    expect(posted).toEqual(['{"a":1}\n{"a":"x"}\n']);
    expect(stdout).toMatch(/^ELEMENT {2}WHERE {2}WHAT\n {6}1 {2}\/a /);
  });

  test('prints the answer as it is with --json', async () => {
    const { url } = await smallServer(answering(2, [fault]));
    const { code, stdout, stderr } = await call(url, ['validate', 'lines.ndjson', '--handler', 'add', '--json']);
    expect(JSON.parse(stdout)).toEqual({ lines: 2, errors: [fault] });
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
  });
});

describe('append and close', () => {
  /** Takes appends until one holds the word bad, which it refuses at its second line. */
  const appending = () => {
    let next = 0;
    return {
      [`POST ${items}`]: ({ body }: { body: unknown }) => {
        const count = String(body).trim().split('\n').length;
        const errors = [{ line: 2, pointer: '/a', message: 'is bad' }];
        if (String(body).includes('bad'))
          return { status: 422, body: problem(422, 'invalid', 'Invalid', 'Line 2 does not fit: /a is bad', errors) };
        next += count;
        return { status: 202, body: { batchId, firstIndex: next - count, count } };
      },
    };
  };

  test('cuts long NDJSON into appends, each under a key of its own', async () => {
    const { url, posted, headers } = await smallServer(appending());
    const { code, stdout } = await call(
      url,
      ['append', batchId, '-', '--format', 'ndjson', '--key', 'k'],
      '1\n'.repeat(50_001),
    );
    expect(stdout).toBe(`Appended: 50,001 items to batch ${batchId}, from index 0 on, in 2 appends.\n`);
    expect(posted.map((body) => String(body).length)).toEqual([100_000, 2]);
    expect(headers.map((each) => each['idempotency-key'])).toEqual(['k-1', 'k-2']);
    expect(code).toBe(0);
  });

  test('names a fault by its line in the whole, and says what stays and how to go on', async () => {
    const { url } = await smallServer(appending());
    const text = `${'1\n'.repeat(50_000)}2\nbad\n`;
    const { code, stderr } = await call(url, ['append', batchId, '-', '--format', 'ndjson', '--key', 'k'], text);
    expect(stderr.split('\n')).toEqual([
      'Invalid: Line 50002 does not fit: /a is bad (HTTP 422)',
      '  line 50002, /a: is bad',
      '50,000 items before line 50,001 were appended and stay. The same again with --key k appends the rest alone, as long as nothing before that is changed.',
      '',
    ]);
    expect(code).toBe(1);
  });

  test('names a fault of a JSON array by its pointer', async () => {
    const { url } = await smallServer(appending());
    const { stderr } = await call(url, ['append', batchId, '-'], '[1, "bad"]');
    expect(stderr).toBe('Invalid: Element 1 does not fit: /a is bad (HTTP 422)\n  /1/a: is bad\n');
  });

  test('takes no CSV, and no file without items', async () => {
    const { url } = await smallServer(appending());
    expect(await call(url, ['append', batchId, 'rows.csv'])).toMatchObject({
      code: 2,
      stderr: 'CSV cannot be appended, only NDJSON or a JSON array\n',
    });
    expect(await call(url, ['append', batchId, '-'], '[]')).toMatchObject({
      code: 1,
      stderr: 'stdin holds no items\n',
    });
  });

  test('close says how many items the batch has', async () => {
    const { url } = await smallServer({ [`POST /v1/batches/${batchId}/close`]: () => ({ body: batchOf() }) });
    const { code, stdout } = await call(url, ['close', batchId]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `Closed: batch ${batchId} has 1,000 items.\n` });
  });
});

describe('job', () => {
  const answering = (status: number, body: object) => ({ 'POST /v1/jobs/add': () => ({ status, body }) });
  const result = { index: 7, status: 'succeeded', attempts: 1, output: { sum: 3 }, error: null };

  test('prints the result', async () => {
    const { url, posted, paths } = await smallServer(answering(200, result));
    const { code, stdout } = await call(url, ['job', 'add', '{"a": 1}', '--wait', '10']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Succeeded: item 7, 1 attempt.\n{\n  "sum": 3\n}\n' });
    expect({ posted, paths }).toEqual({ posted: [{ a: 1 }], paths: ['/v1/jobs/add?wait=10'] });
  });

  test('prints where the result will be', async () => {
    const { url, posted } = await smallServer(answering(202, { batchId, index: 7 }));
    const { code, stdout } = await call(url, ['job', 'add', '-', '--wait', '1'], '[1]');
    expect(stdout).toMatch(/^There is no result within 1 s.\nAccepted: item 7 of batch .* --item 7\n$/s);
    expect({ code, posted }).toEqual({ code: 0, posted: [[1]] });
  });

  test('ends with 1 when the item failed, and says why', async () => {
    const failed = {
      ...result,
      status: 'failed',
      attempts: 3,
      output: null,
      error: { code: 'bad', message: 'no sum' },
    };
    const { url } = await smallServer(answering(200, failed));
    const { code, stdout } = await call(url, ['job', 'add', '{}', '--wait', '1']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'Failed: bad: no sum (item 7, 3 attempts)\n' });
    const { stdout: json } = await call(url, ['job', 'add', '{}', '--wait', '1', '--json']);
    expect(JSON.parse(json)).toEqual(failed);
  });

  test('refuses what is not JSON', async () => {
    const refused = { code: 2, stdout: '', stderr: expect.stringMatching(/^The input is not JSON: /) };
    expect(await call('http://127.0.0.1:9', ['job', 'add', '{a'])).toMatchObject(refused);
  });
});
