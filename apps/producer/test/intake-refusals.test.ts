import { connect } from 'node:net';
import { deflateSync, gzipSync } from 'node:zlib';
import { problemSchema } from '@bullpen/api';
import { eventually } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, openApp, post, type TestApp, work } from './http-app.ts';

let app: TestApp;
let open: string;
let closed: string;
let cancelled: string;
let before: unknown;

beforeAll(async () => {
  app = await openApp({
    settings: { maxItemsPerBatch: 1000, chunkMaxBytes: 2048, maxChunksPerBatch: 20, leaseMs: 60_000 },
  });
  const make = async (options: object): Promise<string> =>
    (await post(app, { handler: 'add', inputs: [{ a: 1 }], options })).body.id;
  [open, closed, cancelled] = [await make({ open: true }), await make({}), await make({ open: true })];
  const [{ no }] = (await app.database.db.execute(
    sql`select no from batches where id = ${cancelled}::uuid`,
  )) as unknown as [{ no: number }];
  await app.database.statements.cancel(no);
  before = await everything();
});
afterAll(() => app.close());

/** All that is stored, but what the clean-up has not come to yet. */
async function everything(): Promise<unknown> {
  while ((await app.clean()) < 1000) continue;
  const tables = ['batches', 'chunks', 'inputs', 'results', 'uploads', 'idempotency'];
  const rows = tables.map((table) =>
    app.database.db.execute(
      sql`select to_json(t) as row from ${sql.identifier(table)} t order by 1::text`.inlineParams(),
    ),
  );
  return Promise.all(rows);
}

type Headers = Record<string, string>;
type Case = [
  name: string,
  path: string,
  headers: Headers,
  body: string | Buffer,
  status: number,
  slug: string,
  says: RegExp,
];

const nd: Headers = { 'content-type': 'application/x-ndjson' };
const csv: Headers = { 'content-type': 'text/csv' };
const json: Headers = { 'content-type': 'application/json' };
const gz: Headers = { ...nd, 'content-encoding': 'gzip' };
const options = (value: unknown): Headers => ({
  ...nd,
  'bullpen-options': Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url'),
});
const key = (value: string): Headers => ({ ...nd, 'idempotency-key': value });
const add = '/v1/batches?handler=add';
const echo = '/v1/batches?handler=echo';

const cases: Case[] = [
  // What it is.
  [
    'a type with another charset',
    echo,
    { 'content-type': 'application/x-ndjson; charset=latin1' },
    '1',
    415,
    'unsupported-media-type',
    /utf-8/,
  ],
  ['CSV in UTF-16', echo, { 'content-type': 'text/csv; charset=utf-16' }, 'a', 415, 'unsupported-media-type', /utf-8/],
  [
    'a spreadsheet',
    echo,
    { 'content-type': 'application/vnd.ms-excel' },
    'a',
    415,
    'unsupported-media-type',
    /x-ndjson, text\/csv/,
  ],
  ['brotli', echo, { ...nd, 'content-encoding': 'br' }, '1', 415, 'unsupported-media-type', /gzip/],
  ['gzip twice', echo, { ...nd, 'content-encoding': 'gzip, gzip' }, '1', 415, 'unsupported-media-type', /gzip/],
  ['deflate said to be gzip', echo, gz, deflateSync('1\n'), 400, 'malformed', /no gzip/],
  ['text said to be gzip', echo, gz, '1\n2\n', 400, 'malformed', /no gzip/],
  ['gzip that is cut', echo, gz, gzipSync('1\n'.repeat(5000)).subarray(0, 20), 400, 'malformed', /cut/],
  ['gzip with a wrong sum', echo, gz, spoiled(gzipSync('1\n'.repeat(500))), 400, 'malformed', /no gzip/],
  ['no bytes at all as gzip', echo, gz, '', 400, 'malformed', /cut/],
  ['a bomb of blank lines', echo, gz, gzipSync(Buffer.alloc(80 << 20, 0x0a)), 413, 'too-large', /times its size/],
  // What it asks for.
  ['no handler', '/v1/batches', nd, '1', 422, 'invalid', /query/],
  ['an unknown handler', '/v1/batches?handler=nope', nd, '1', 422, 'unknown-handler', /GET \/v1\/handlers/],
  ['a handler from the prototype', '/v1/batches?handler=constructor', nd, '1', 422, 'unknown-handler', /handler/],
  ['a handler that is a path', '/v1/batches?handler=..%2Fx', nd, '1', 422, 'unknown-handler', /handler/],
  ['a parameter twice', `${echo}&handler=echo`, nd, '1', 422, 'invalid', /query/],
  ['an unknown parameter', `${echo}&colour=1`, nd, '1', 422, 'invalid', /query/],
  ['count', `${echo}&count=5`, nd, '1', 422, 'invalid', /query/],
  ['a name with NUL', `${echo}&name=a%00`, nd, '1', 422, 'invalid', /query/],
  ['another way to validate', `${echo}&validate=yes`, nd, '1', 422, 'invalid', /query/],
  ['another onInvalid', `${echo}&onInvalid=ignore`, nd, '1', 422, 'invalid', /query/],
  ['a chunkSize of none', `${echo}&chunkSize=0`, nd, '1', 422, 'invalid', /query/],
  ['a chunkSize in words', `${echo}&chunkSize=ten`, nd, '1', 422, 'invalid', /query/],
  ['a webhook in the query', `${echo}&webhook=1`, nd, '1', 422, 'invalid', /\?webhook.*Bullpen-Options/],
  ['order without groups', `${echo}&ordered=true`, nd, '1', 422, 'invalid', /\?ordered.*groupBy/],
  ['no order without groups', `${echo}&ordered=false`, nd, '1', 422, 'invalid', /\?ordered.*groupBy/],
  ['a limit without groups', `${echo}&groupConcurrency=2`, nd, '1', 422, 'invalid', /\?groupConcurrency.*groupBy/],
  [
    'order and more at once',
    `${echo}&groupBy=k&ordered=true&groupConcurrency=2`,
    nd,
    '1',
    422,
    'invalid',
    /\?groupConcurrency.*without ordered/,
  ],
  ['order in words', `${echo}&groupBy=k&ordered=yes`, nd, '1', 422, 'invalid', /\?ordered.*true or false/],
  ['a group of none', `${echo}&groupBy=`, nd, '1', 422, 'invalid', /\?groupBy.*field/],
  ['a pointer with a bare tilde', `${echo}&groupBy=/a~b`, nd, '1', 422, 'invalid', /\?groupBy.*JSON pointer/],
  ['a group in both places', `${echo}&groupBy=k`, options({ options: { groupBy: 'k' } }), '1', 422, 'invalid', /query/],
  [
    'order in the header without groups',
    echo,
    options({ options: { ordered: true } }),
    '1',
    422,
    'invalid',
    /\/options\/ordered.*groupBy/,
  ],
  ['params in the query', `${echo}&params=%7B%7D`, nd, '1', 422, 'invalid', /query/],
  [
    'options that are no base64url',
    echo,
    { ...nd, 'bullpen-options': '{"params":1}' },
    '1',
    400,
    'malformed',
    /base64url/,
  ],
  ['options that are no JSON', echo, options('{'), '1', 400, 'malformed', /Bullpen-Options/],
  ['options that are a list', echo, options([]), '1', 400, 'malformed', /base64url/],
  ['options with more in them', echo, options({ secret: 1 }), '1', 400, 'malformed', /secret/],
  ['an option in both places', `${echo}&seed=1`, options({ options: { seed: 2 } }), '1', 422, 'invalid', /query/],
  ['an option out of range', echo, options({ options: { maxAttempts: 99 } }), '1', 422, 'invalid', /Bullpen-Options/],
  [
    'a webhook that goes to this machine',
    echo,
    options({ options: { webhook: { url: 'https://localhost/', secret: 'x'.repeat(16) } } }),
    '1',
    422,
    'invalid',
    /\/options\/webhook\/url.*public/,
  ],
  [
    'params that do not fit',
    '/v1/batches?handler=sleep',
    options({ params: { ms: -1 } }),
    '1',
    422,
    'invalid',
    /params/,
  ],
  ['no params where they are needed', '/v1/batches?handler=sleep', nd, '1', 422, 'invalid', /params/],
  // Lines.
  ['no lines', echo, nd, '', 422, 'invalid', /no items/],
  ['blank lines only', echo, nd, '\n \n\t\n', 422, 'invalid', /no items/],
  ['a byte order mark only', echo, nd, '\ufeff', 422, 'invalid', /no items/],
  ['a line that is cut', add, nd, '{"a":1}\n{"a":', 400, 'malformed', /^Line 2 .*ends too early/],
  ['two values in a line', add, nd, '{"a":1}{"a":2}', 400, 'malformed', /^Line 1 /],
  ['a comma between lines', add, nd, '{"a":1},\n{"a":2}', 400, 'malformed', /^Line 1 /],
  ['JSON over several lines', add, nd, '{\n"a":1}', 400, 'malformed', /^Line 1 /],
  ['an input that does not fit', add, nd, '{"a":1}\n\n{"a":"1"}', 422, 'invalid', /^Line 3 .*\/a/],
  ['an array where an object is wanted', add, nd, '[{"a":1}]', 422, 'invalid', /^Line 1 /],
  ['a number out of range', echo, nd, '1e999', 422, 'invalid', /^Line 1 .*range/],
  ['a whole number that would lose digits', echo, nd, '1\n12345678901234567890', 422, 'invalid', /^Line 2 .*digits/],
  ['JSON that is nested too deep', echo, nd, `${'['.repeat(65)}${']'.repeat(65)}`, 422, 'invalid', /^Line 1 .*deeper/],
  ['a control character', echo, nd, '"a\u0001"', 400, 'malformed', /^Line 1 /],
  ['NUL bytes', echo, nd, '1\n\0\0', 400, 'malformed', /^Line 2 /],
  ['invalid UTF-8', echo, nd, Buffer.from([0x31, 0x0a, 0x22, 0xff, 0x22]), 400, 'malformed', /byte 3 \(line 2\)/],
  ['half a character at the end', echo, nd, Buffer.from([0x22, 0xc3]), 400, 'malformed', /byte 1 /],
  ['UTF-16', echo, nd, Buffer.from('{"a":1}\n', 'utf16le'), 400, 'malformed', /./],
  [
    'a line that is too long',
    echo,
    nd,
    `1\n"${'x'.repeat(3000)}"`,
    413,
    'too-large',
    /^Line 2 is longer than 2046 bytes/,
  ],
  ['more items than a batch may have', echo, nd, '1\n'.repeat(1001), 413, 'too-large', /MAX_ITEMS_PER_BATCH/],
  [
    'more chunks than a batch may have',
    `${echo}&chunkSize=1`,
    nd,
    '1\n'.repeat(21),
    422,
    'invalid',
    /MAX_CHUNKS_PER_BATCH/,
  ],
  // CSV.
  ['no header', echo, csv, '', 422, 'invalid', /no items/],
  ['a header alone', echo, csv, 'a,b\n', 422, 'invalid', /no items/],
  ['a column twice', echo, csv, 'a,b,a\n1,2,3', 422, 'invalid', /"a" twice/],
  ['a column without a name', echo, csv, 'a,,c\n1,2,3', 422, 'invalid', /column 2/],
  ['a cell too few', echo, csv, 'a,b\n1,2\n3', 422, 'invalid', /^Line 3 .*1 cells/],
  ['a cell too many', echo, csv, 'a,b\n1,2,3', 422, 'invalid', /^Line 2 .*3 cells/],
  ['a quote that does not end', echo, csv, 'a,b\n1,"2\n3,4', 400, 'malformed', /quote that does not end/],
  ['a quote within a cell', echo, csv, 'a,b\n1,"2"3', 400, 'malformed', /line 2/],
  ['a cell that is no number', add, csv, 'a\n1\nx', 422, 'invalid', /^Line 3 .*\/a/],
  ['a number cell out of range', add, csv, 'a\n1e999', 422, 'invalid', /^Line 2 .*/],
  ['a column that is missing', add, csv, 'b\n1', 422, 'invalid', /^Line 2 .*\/a/],
  ['a row that is too long', echo, csv, `a\n"${'x\n'.repeat(2000)}"`, 413, 'too-large', /longer than 2046/],
  ['CSV with invalid UTF-8', echo, csv, Buffer.from('a\n1\n\xff\n', 'latin1'), 400, 'malformed', /byte 4 \(line 3\)/],
  [
    'CSV with half a character at the end',
    echo,
    csv,
    Buffer.from([0x61, 0x0a, 0xf0, 0x9d]),
    400,
    'malformed',
    /byte 2 \(line 2\)/,
  ],
  ['CSV with semicolons', echo, csv, 'a;b\n1;2', 422, 'invalid', /separated by commas/],
  // Keys.
  ['an empty key', echo, key(''), '1', 400, 'malformed', /Idempotency-Key/],
  ['a key with blanks', echo, key('a b'), '1', 400, 'malformed', /Idempotency-Key/],
  ['a key of 256 characters', echo, key('k'.repeat(256)), '1', 400, 'malformed', /Idempotency-Key/],
  [
    'a JSON body under a bad key',
    '/v1/batches',
    { ...json, 'idempotency-key': 'é' },
    '{"handler":"echo","count":1}',
    400,
    'malformed',
    /Idempotency-Key/,
  ],
  // Appends.
  [
    'an append to no batch',
    '/v1/batches/01a1ff00-0000-7000-8000-000000000000/items',
    json,
    '[1]',
    404,
    'not-found',
    /batch/,
  ],
  ['an append to a name', '/v1/batches/x/items', json, '[1]', 404, 'not-found', /batch/],
  ['an append to a closed batch', '/v1/batches/CLOSED/items', json, '[{"a":1}]', 409, 'invalid-state', /closed/],
  [
    'an append to a cancelled batch',
    '/v1/batches/CANCELLED/items',
    json,
    '[{"a":1}]',
    409,
    'invalid-state',
    /cancelled/,
  ],
  ['an append of no array', '/v1/batches/OPEN/items', json, '{"a":1}', 422, 'invalid', /array/],
  ['an append of nothing', '/v1/batches/OPEN/items', json, '[]', 422, 'invalid', /no items/],
  ['an append of no lines', '/v1/batches/OPEN/items', nd, '\n', 422, 'invalid', /no items/],
  ['an append of CSV', '/v1/batches/OPEN/items', csv, 'a\n1', 415, 'unsupported-media-type', /x-ndjson/],
  ['an append that does not fit', '/v1/batches/OPEN/items', json, '[{"a":1},{}]', 422, 'invalid', /fit/],
  ['an append with a query', '/v1/batches/OPEN/items?x=1', json, '[{"a":1}]', 422, 'invalid', /query/],
  ['an append of 9 MiB', '/v1/batches/OPEN/items', nd, Buffer.alloc(9 << 20, 0x0a), 413, 'too-large', /8 MiB/],
  [
    'an append of 9 MiB in gzip',
    '/v1/batches/OPEN/items',
    gz,
    gzipSync(Buffer.alloc(9 << 20, 0x0a)),
    413,
    'too-large',
    /8 MiB/,
  ],
  [
    'an append of 50 001 items',
    '/v1/batches/OPEN/items',
    json,
    `[${'1,'.repeat(50_000)}1]`,
    413,
    'too-large',
    /50000 items/,
  ],
  [
    'an append of 50 001 lines',
    '/v1/batches/OPEN/items',
    nd,
    '{"a":1}\n'.repeat(50_001),
    413,
    'too-large',
    /50000 items/,
  ],
  [
    'an append of more than is open',
    '/v1/batches/OPEN/items',
    nd,
    '{"a":1}\n'.repeat(1001),
    413,
    'too-large',
    /unfinished/,
  ],
  [
    'an append of one large input',
    '/v1/batches/OPEN/items',
    json,
    `[{"a":1,"x":"${'x'.repeat(3000)}"}]`,
    413,
    'too-large',
    /CHUNK_MAX_BYTES/,
  ],
  ['a close of no batch', '/v1/batches/x/close', {}, '', 404, 'not-found', /batch/],
  // Single items.
  ['a single item for no handler', '/v1/jobs/nope', json, '{}', 422, 'unknown-handler', /handler/],
  ['a single item for the prototype', '/v1/jobs/__proto__', json, '{}', 422, 'unknown-handler', /handler/],
  ['a single item that does not fit', '/v1/jobs/add', json, '{"a":"1"}', 422, 'invalid', /fit/],
  ['a single item that is no JSON', '/v1/jobs/add', json, '{"a":', 400, 'malformed', /column/],
  ['a single item that is nothing', '/v1/jobs/add', json, '', 400, 'malformed', /empty/],
  ['a single item as NDJSON', '/v1/jobs/add', nd, '{"a":1}', 415, 'unsupported-media-type', /application\/json/],
  ['a single item without a type', '/v1/jobs/add', {}, '{"a":1}', 415, 'unsupported-media-type', /application\/json/],
  [
    'a single item that is too large',
    '/v1/jobs/echo',
    json,
    `"${'x'.repeat(3000)}"`,
    413,
    'too-large',
    /CHUNK_MAX_BYTES/,
  ],
  ['a single item that waits too long', '/v1/jobs/add?wait=61', json, '{"a":1}', 422, 'invalid', /query/],
  ['a single item where params are needed', '/v1/jobs/sleep', json, '{}', 422, 'invalid', /params/],
  [
    'a single item under a bad key',
    '/v1/jobs/add',
    { ...json, 'idempotency-key': ' ' },
    '{"a":1}',
    400,
    'malformed',
    /Idempotency-Key/,
  ],
];

function spoiled(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(bytes.readUInt32LE(bytes.length - 8) ^ 1, bytes.length - 8);
  return bytes;
}

describe('what comes in and cannot be taken', () => {
  test.each(cases)('%s', async (_, path, headers, body, status, slug, says) => {
    const at = path.replace('OPEN', open).replace('CLOSED', closed).replace('CANCELLED', cancelled);
    const answer = await ask(app, at, { method: 'POST', headers, body });
    expect({ status: answer.status, type: answer.body?.type }).toEqual({ status, type: `/problems/${slug}` });
    expect(answer.headers['content-type']).toBe('application/problem+json');
    const problem = problemSchema.strict().parse(answer.body);
    expect(`${problem.detail} ${JSON.stringify(problem.errors ?? '')}`).toMatch(says);
    expect(answer.text).not.toMatch(/ at .*\.[tj]s:|node_modules|select |insert |parameters/i);
  });

  const raw: [string, string, RegExp][] = [
    ['a length that is no number', 'Content-Length: x\r\n\r\n1\n', /^HTTP\/1\.1 400 /],
    [
      'a length and chunks',
      'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\n0\r\n\r\n',
      /^HTTP\/1\.1 400 /,
    ],
    ['a chunk whose size is no number', 'Transfer-Encoding: chunked\r\n\r\nzz\r\n1\n\r\n', /^HTTP\/1\.1 400 |^$/],
    ['a body that is shorter than announced', 'Content-Length: 100\r\n\r\n1\n2\n', /^HTTP\/1\.1 400 |^$/],
    ['a chunked body without its end', 'Transfer-Encoding: chunked\r\n\r\n4\r\n1\n2\n\r\n', /^HTTP\/1\.1 400 |^$/],
    [
      'an encoding of the transfer that is not known',
      'Transfer-Encoding: gzip\r\n\r\n1\n',
      /^HTTP\/1\.1 (400|501) |^$/,
    ],
  ];
  test.each(raw)('on the wire: %s', async (_, rest, expected) => {
    expect(
      await sent(`POST ${echo} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n${rest}`),
    ).toMatch(expected);
  });

  test('leaves the service healthy and the database as it was', async () => {
    await eventually('what was cut is given up', async () => expect(await everything()).toEqual(before));
    expect(app.accepted()).toBe(3);
    expect((await post(app, '{"a":1}\n', nd, add)).status).toBe(202);
    expect(await work(app.database)).toBeGreaterThan(0);
  });
});

/** What the service says to these bytes, after which the client says no more. */
function sent(bytes: string): Promise<string> {
  const { hostname, port } = new URL(app.url);
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.end(bytes));
    socket.on('data', (part) => (text += part.toString()));
    socket.on('error', () => resolve(text));
    socket.on('close', () => resolve(text));
  });
}
