import { dropReplyTo } from '@bullpen/testkit';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { ApiError, createClient, newId, type Problem, problemSchema, UnreachableError } from '@bullpen/api';
import { createStatements, openDatabase } from '@bullpen/db';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, ask, openApp, post, type TestApp } from './http-app.ts';

let app: TestApp;
beforeAll(async () => {
  app = await openApp({ settings: { maxItemsPerBatch: 1000, chunkMaxBytes: 1024, maxChunksPerBatch: 100 } });
});
afterAll(() => app.close());

/** A refusal as RFC 9457 wants it, that tells nothing of the inside. */
function problemIn(answer: Answer, slug: string, status: number): Problem {
  expect(answer.text).not.toMatch(/ at .*\.[tj]s:|node_modules|select |insert |parameters/i);
  expect({ status: answer.status, type: answer.body?.type }).toEqual({ status, type: `/problems/${slug}` });
  expect(answer.headers['content-type']).toBe('application/problem+json');
  return problemSchema.strict().parse(answer.body);
}

const echo = { handler: 'echo', count: 1 };
const hooked = (url: string, secret = 'x'.repeat(16)) => ({ ...echo, options: { webhook: { url, secret } } });
const json = { 'content-type': 'application/json' };

describe('a body that cannot be read', () => {
  const cases: [string, string | Buffer, Record<string, string>, string, number, RegExp][] = [
    ['empty', '', json, 'malformed', 400, /empty/],
    ['blank', ' \n', json, 'malformed', 400, /empty/],
    ['cut', '{"handler":"echo","count":', json, 'malformed', 400, /line 1, column 27/],
    ['a comma too many', '{\n  "count": 1,\n}', json, 'malformed', 400, /"}" is not expected \(line 3, column 1\)/],
    ['two values', '{} {}', json, 'malformed', 400, /column 4/],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0xff]), json, 'malformed', 400, /byte 2 /],
    ['UTF-16', Buffer.from(JSON.stringify(echo), 'utf16le'), json, 'malformed', 400, /./],
    ['no type', JSON.stringify(echo), {}, 'unsupported-media-type', 415, /Content-Type: application\/json/],
    [
      'a form',
      'a=1',
      { 'content-type': 'application/x-www-form-urlencoded' },
      'unsupported-media-type',
      415,
      /Content-Type: application\/json/,
    ],
    [
      'another charset',
      '{}',
      { 'content-type': 'application/json; charset=utf-16' },
      'unsupported-media-type',
      415,
      /utf-8/,
    ],
    [
      'gzip',
      gzipSync(JSON.stringify(echo)),
      { ...json, 'content-encoding': 'gzip' },
      'unsupported-media-type',
      415,
      /Content-Encoding: gzip/,
    ],
    [
      'Bullpen-Options',
      JSON.stringify(echo),
      { ...json, 'bullpen-options': 'e30' },
      'invalid',
      422,
      /stand in the body/,
    ],
    ['17 MiB', Buffer.alloc(17 << 20, 0x20), json, 'too-large', 413, /NDJSON/],
    [
      '17 MiB without a length',
      Buffer.alloc(17 << 20, 0x20),
      { ...json, 'transfer-encoding': 'chunked' },
      'too-large',
      413,
      /16 MiB/,
    ],
  ];
  test.each(cases)('%s', async (_, body, headers, slug, status, detail) => {
    const answer = await ask(app, '/v1/batches', { method: 'POST', headers, body });
    expect(problemIn(answer, slug, status).detail).toMatch(detail);
  });

  test('but a byte order mark, a charset in quotes and upper case are fine', async () => {
    const answer = await post(app, `\ufeff${JSON.stringify(echo)}`, {
      'content-type': 'Application/JSON; Charset="UTF-8"',
      'content-encoding': 'identity',
    });
    expect(answer.status).toBe(202);
  });
});

describe('a batch that is not allowed', () => {
  const cases: [unknown, string, number, string][] = [
    ['[]', 'invalid', 422, ''],
    ['null', 'invalid', 422, ''],
    ['17', 'invalid', 422, ''],
    [{ handler: 'echo' }, 'invalid', 422, ''],
    [{ ...echo, inputs: [1] }, 'invalid', 422, ''],
    [{ count: 1 }, 'invalid', 422, '/handler'],
    [{ handler: 7, count: 1 }, 'invalid', 422, '/handler'],
    [{ handler: 'nobody', count: 1 }, 'unknown-handler', 422, '/handler'],
    [{ handler: 'add', count: 1 }, 'invalid', 422, '/count'],
    [{ handler: 'constructor', count: 1 }, 'unknown-handler', 422, '/handler'],
    [{ handler: '__proto__', count: 1 }, 'unknown-handler', 422, '/handler'],
    [{ handler: '../echo', count: 1 }, 'unknown-handler', 422, '/handler'],
    [{ handler: 'echo\0', count: 1 }, 'unknown-handler', 422, '/handler'],
    [{ handler: 'echo', count: 0 }, 'invalid', 422, '/count'],
    [{ handler: 'echo', count: -1 }, 'invalid', 422, '/count'],
    [{ handler: 'echo', count: 1.5 }, 'invalid', 422, '/count'],
    [{ handler: 'echo', count: '1' }, 'invalid', 422, '/count'],
    [{ handler: 'echo', count: null }, 'invalid', 422, '/count'],
    [{ handler: 'echo', count: 1001 }, 'too-large', 413, '/count'],
    [{ handler: 'echo', count: 9_000_000_000_000_000 }, 'too-large', 413, '/count'],
    [{ handler: 'echo', inputs: [] }, 'invalid', 422, '/inputs'],
    [{ handler: 'echo', inputs: {} }, 'invalid', 422, '/inputs'],
    [{ handler: 'echo', inputs: Array(1001).fill(0) }, 'too-large', 413, '/inputs'],
    [{ handler: 'echo', inputs: [1, 'x'.repeat(1021)] }, 'too-large', 413, '/inputs/1'],
    [{ handler: 'add', inputs: [{ a: 1 }, { a: 'x' }] }, 'invalid', 422, '/inputs/1/a'],
    [{ handler: 'add', inputs: [null] }, 'invalid', 422, '/inputs/0'],
    [{ handler: 'sleep', count: 1 }, 'invalid', 422, '/params'],
    [{ handler: 'sleep', count: 1, params: { ms: -1 } }, 'invalid', 422, '/params/ms'],
    [{ ...echo, params: 'x'.repeat(262_143) }, 'too-large', 413, '/params'],
    [{ ...echo, name: '' }, 'invalid', 422, '/name'],
    [{ ...echo, name: 'x'.repeat(201) }, 'invalid', 422, '/name'],
    [{ ...echo, name: 'a\0' }, 'invalid', 422, '/name'],
    [{ ...echo, name: 'a\ud800' }, 'invalid', 422, '/name'],
    [{ ...echo, naem: 'x' }, 'invalid', 422, '/naem'],
    [{ ...echo, 'a/b~c': 'x' }, 'invalid', 422, '/a~1b~0c'],
    ['{"handler":"echo","count":1,"__proto__":{"count":2}}', 'invalid', 422, '/__proto__'],
    [{ ...echo, options: [] }, 'invalid', 422, '/options'],
    [{ ...echo, options: { colour: 1 } }, 'invalid', 422, '/options/colour'],
    [{ ...echo, options: { chunkSize: 0 } }, 'invalid', 422, '/options/chunkSize'],
    [{ ...echo, options: { chunkSize: 10_001 } }, 'invalid', 422, '/options/chunkSize'],
    [{ handler: 'echo', count: 1000, options: { chunkSize: 9 } }, 'invalid', 422, '/options/chunkSize'],
    [{ handler: 'echo', inputs: Array(101).fill(0), options: { chunkSize: 1 } }, 'invalid', 422, '/options/chunkSize'],
    [{ ...echo, options: { groupBy: 'k' } }, 'invalid', 422, '/options/groupBy'],
    [{ ...echo, options: { ordered: true } }, 'invalid', 422, '/options/ordered'],
    [{ handler: 'echo', inputs: [1], options: { ordered: true } }, 'invalid', 422, '/options/ordered'],
    [{ handler: 'echo', inputs: [1], options: { groupConcurrency: 2 } }, 'invalid', 422, '/options/groupConcurrency'],
    [{ handler: 'echo', inputs: [1], options: { groupBy: '' } }, 'invalid', 422, '/options/groupBy'],
    [{ handler: 'echo', inputs: [1], options: { groupBy: 7 } }, 'invalid', 422, '/options/groupBy'],
    [{ handler: 'echo', inputs: [1], options: { groupBy: 'k\0' } }, 'invalid', 422, '/options/groupBy'],
    [{ handler: 'echo', inputs: [1], options: { groupBy: 'k'.repeat(201) } }, 'invalid', 422, '/options/groupBy'],
    [{ handler: 'echo', inputs: [1], options: { groupBy: '/a~2' } }, 'invalid', 422, '/options/groupBy'],
    [
      { handler: 'echo', inputs: [1], options: { groupBy: 'k', ordered: true, groupConcurrency: 2 } },
      'invalid',
      422,
      '/options/groupConcurrency',
    ],
    [
      { handler: 'echo', inputs: [1], options: { groupBy: 'k', groupConcurrency: 10_001 } },
      'invalid',
      422,
      '/options/groupConcurrency',
    ],
    [{ ...echo, options: { maxAttempts: 0 } }, 'invalid', 422, '/options/maxAttempts'],
    [{ ...echo, options: { maxAttempts: 26 } }, 'invalid', 422, '/options/maxAttempts'],
    [{ ...echo, options: { maxAttempts: '3' } }, 'invalid', 422, '/options/maxAttempts'],
    [{ ...echo, options: { timeoutMs: 0 } }, 'invalid', 422, '/options/timeoutMs'],
    [{ ...echo, options: { timeoutMs: 86_400_001 } }, 'invalid', 422, '/options/timeoutMs'],
    [{ ...echo, options: { backoffMs: 3_600_001 } }, 'invalid', 422, '/options/backoffMs'],
    [{ ...echo, options: { seed: -1 } }, 'invalid', 422, '/options/seed'],
    [{ ...echo, options: { seed: 2 ** 32 } }, 'invalid', 422, '/options/seed'],
    [{ ...echo, options: { seed: 'x' } }, 'invalid', 422, '/options/seed'],
    [{ ...echo, options: { webhook: 1 } }, 'invalid', 422, '/options/webhook'],
    [{ ...echo, options: { open: true } }, 'invalid', 422, '/options/open'],
    [{ ...echo, options: { open: 1 } }, 'invalid', 422, '/options/open'],
    [{ handler: 'echo', inputs: [1], options: { onInvalid: 'skip' } }, 'invalid', 422, '/options/onInvalid'],
    [{ ...echo, options: { webhook: {} } }, 'invalid', 422, '/options/webhook/url'],
    [{ ...echo, options: { webhook: { url: 'https://example.org' } } }, 'invalid', 422, '/options/webhook/secret'],
    [hooked('https://example.org', 'short'), 'invalid', 422, '/options/webhook/secret'],
    [hooked('https://example.org', `with a space ${'x'.repeat(16)}`), 'invalid', 422, '/options/webhook/secret'],
    [hooked('https://example.org', 'x'.repeat(201)), 'invalid', 422, '/options/webhook/secret'],
    [hooked(`https://example.org/${'x'.repeat(2000)}`), 'invalid', 422, '/options/webhook/url'],
    [hooked('http://example.org'), 'invalid', 422, '/options/webhook/url'],
    [hooked('https://127.0.0.1:8443'), 'invalid', 422, '/options/webhook/url'],
    [hooked('https://[::ffff:10.0.0.1]/'), 'invalid', 422, '/options/webhook/url'],
    [hooked('https://ada:x@example.org'), 'invalid', 422, '/options/webhook/url'],
    [
      { ...echo, options: { webhook: { url: 'https://example.org', secret: 'x'.repeat(16), more: 1 } } },
      'invalid',
      422,
      '/options/webhook/more',
    ],
  ];
  test.each(cases)('%j', async (body, slug, status, pointer) => {
    const problem = problemIn(await post(app, body), slug, status);
    expect(problem.errors?.[0]?.pointer).toBe(pointer);
  });

  test.each([
    ['{"handler":"echo","inputs":[1,\n12345678901234567890]}', 2],
    ['{"handler":"echo","inputs":[1e999]}', 1],
    [`{"handler":"echo","params":${'['.repeat(64)}${']'.repeat(64)},"count":1}`, 1],
  ])('JSON that would lose something: %s', async (body, line) => {
    expect(problemIn(await post(app, body), 'invalid', 422).errors?.[0]?.line).toBe(line);
  });

  test('at most a hundred faults are named', async () => {
    const problem = problemIn(
      await post(app, { handler: 'add', inputs: Array.from({ length: 500 }, () => ({})) }),
      'invalid',
      422,
    );
    expect(problem.errors!.length).toBe(100);
    expect(problem.errors![99]!.pointer).toBe('/inputs/99/a');
  });

  test('words in the query are not ignored', async () => {
    problemIn(await post(app, echo, {}, '/v1/batches?validate=only'), 'invalid', 422);
    problemIn(await post(app, echo, {}, '/v1/batches?whatever=1'), 'invalid', 422);
  });

  test('stores nothing and publishes nothing', async () => {
    const { items } = await app.client.listBatches({ limit: 1000 });
    expect(items.length).toBe(1);
    expect(app.accepted()).toBe(1);
  });
});

describe('a key that is not allowed', () => {
  const good = { name: 'one', scopes: ['admin'] };
  const cases: [unknown, string][] = [
    [[], ''],
    [{ scopes: ['admin'] }, '/name'],
    [{ ...good, name: '' }, '/name'],
    [{ ...good, name: 7 }, '/name'],
    [{ ...good, name: 'x'.repeat(101) }, '/name'],
    [{ ...good, name: 'a\0' }, '/name'],
    [{ name: 'one' }, '/scopes'],
    [{ ...good, scopes: [] }, '/scopes'],
    [{ ...good, scopes: 'admin' }, '/scopes'],
    [{ ...good, scopes: ['root'] }, '/scopes/0'],
    [{ ...good, scopes: ['read', 'read'] }, '/scopes'],
    [{ ...good, owner: '' }, '/owner'],
    [{ ...good, owner: '-' }, '/owner'],
    [{ ...good, owner: 'Acme' }, '/owner'],
    [{ ...good, owner: 'a/b' }, '/owner'],
    [{ ...good, owner: '__proto__' }, '/owner'],
    [{ ...good, owner: 'a'.repeat(65) }, '/owner'],
    [{ ...good, requestsPerSecond: 0 }, '/requestsPerSecond'],
    [{ ...good, requestsPerSecond: 1.5 }, '/requestsPerSecond'],
    [{ ...good, requestsPerSecond: '5' }, '/requestsPerSecond'],
    [{ ...good, expiresAt: 'tomorrow' }, '/expiresAt'],
    [{ ...good, expiresAt: '2099-01-01' }, '/expiresAt'],
    [{ ...good, expiresAt: '2020-01-01T00:00:00Z' }, '/expiresAt'],
    [{ ...good, key: `bp_mine_${'a'.repeat(40)}` }, '/key'],
  ];
  test.each(cases)('%j', async (body, pointer) => {
    const problem = problemIn(await post(app, body, {}, '/v1/keys'), 'invalid', 422);
    expect(problem.errors).toEqual([{ pointer, message: expect.any(String) }]);
  });

  test('nor under an Idempotency-Key, nor as the first one without admin; and none is there', async () => {
    problemIn(await post(app, good, { 'idempotency-key': 'k' }, '/v1/keys'), 'invalid', 422);
    problemIn(await post(app, { ...good, scopes: ['read'] }, {}, '/v1/keys'), 'invalid-state', 409);
    problemIn(await ask(app, '/v1/keys/%00', { method: 'DELETE' }), 'not-found', 404);
    problemIn(await ask(app, '/v1/keys/nobody', { method: 'DELETE' }), 'not-found', 404);
    expect((await app.client.keys()).items).toEqual([]);
  });
});

describe('reading', () => {
  let id: string;
  beforeAll(async () => {
    ({ id } = await app.client.submit({ handler: 'echo', count: 3 }));
  });

  test.each([
    ['/nothing', 404],
    ['/v1', 404],
    ['/V1/batches', 404],
    ['/metric', 404],
    ['/problems/x', 404],
    ['/v1/batches/17', 404],
    ['/v1/batches/%00', 404],
    ['/v1/batches/..%2f..%2fetc', 404],
    [`/v1/batches/${newId()}`, 404],
    [`/v1/batches/${newId()}/results`, 404],
    ['/v1/batches/ID/results/3', 404],
    ['/v1/batches/ID/results/-1', 404],
    ['/v1/batches/ID/results/x', 404],
    ['/v1/batches/ID/results/01', 404],
    ['/v1/batches/ID/results/99999999999', 404],
    ['/v1/batches/ID/results/0', 404],
    ['/v1/batches/%zz', 400],
    ['/v1/batches/%ff', 400],
  ])('%s', async (path, status) => {
    problemIn(await ask(app, path.replace('ID', id)), status === 404 ? 'not-found' : 'malformed', status);
  });

  test.each([
    ['/v1/batches?limit=0', '?limit'],
    ['/v1/batches?limit=1001', '?limit'],
    ['/v1/batches?limit=', '?limit'],
    ['/v1/batches?limit=1e2', '?limit'],
    ['/v1/batches?state=done', '?state'],
    ['/v1/batches?kind=all', '?kind'],
    ['/v1/batches?handler=%00', '?handler'],
    ['/v1/batches?handler=A', '?handler'],
    ['/v1/batches?limit=1&limit=2', '?limit'],
    ['/v1/batches?offset=1', '?offset'],
    ['/v1/batches?cursor=nonsense', '?cursor'],
    ['/v1/batches?cursor=', '?cursor'],
    ['/v1/batches?state=%zz', '?state'],
    ['/v1/batches?__proto__=1', '?__proto__'],
    ['/v1/batches/ID?wait=61', '?wait'],
    ['/v1/batches/ID?wait=-1', '?wait'],
    ['/v1/batches/ID?wait=1.5', '?wait'],
    ['/v1/batches/ID?wait=x', '?wait'],
    ['/v1/batches/ID?x=1', '?x'],
    ['/v1/batches/ID/results?status=cancelled', '?status'],
    ['/v1/batches/ID/results?limit=5000', '?limit'],
    ['/v1/batches/ID/results?cursor=AAAA', '?cursor'],
    ['/v1/batches/ID/results/0?x=1', '?x'],
    ['/v1/handlers?x=1', '?x'],
    ['/v1/workers?x=1', '?x'],
    ['/v1/partitions?x=1', '?x'],
  ])('%s', async (path, pointer) => {
    const problem = problemIn(await ask(app, path.replace('ID', id)), 'invalid', 422);
    expect(problem.errors).toEqual([{ pointer, message: expect.any(String) }]);
    expect(problem.instance).not.toContain('?');
  });

  test('results in another form are not acceptable', async () => {
    for (const accept of ['text/html', 'image/png', 'application/json;q=0']) {
      problemIn(await ask(app, `/v1/batches/${id}/results`, { headers: { accept } }), 'not-acceptable', 406);
    }
  });

  test.each([
    ['PUT', '/v1/batches', 'GET, HEAD, POST'],
    ['PUT', '/v1/batches/ID', 'GET, HEAD, PATCH, DELETE'],
    ['POST', '/v1/batches/ID/results', 'GET, HEAD'],
    ['OPTIONS', '/v1/workers', 'GET, HEAD'],
    ['POST', '/', 'GET, HEAD'],
    ['POST', '/livez', 'GET, HEAD'],
    ['PUT', '/queues/api/queues/x/clean/completed', 'GET, HEAD'],
  ])('%s %s is 405', async (method, path, allow) => {
    const answer = await ask(app, path.replace('ID', id), { method });
    problemIn(answer, 'method-not-allowed', 405);
    expect(answer.headers['allow']).toBe(allow);
  });

  test('from outside is 401 everywhere but /livez', async () => {
    for (const path of ['/', '/readyz', '/v1/batches', '/queues', '/nothing']) {
      const answer = await ask(app, path, { headers: { origin: 'http://evil.example' } });
      problemIn(answer, 'unauthorized', 401);
      expect(answer.headers['www-authenticate']).toBe('Bearer');
      problemIn(await ask(app, path, { headers: { host: 'evil.example' } }), 'unauthorized', 401);
    }
    problemIn(await post(app, echo, { 'x-forwarded-for': '127.0.0.1' }), 'unauthorized', 401);
    expect((await ask(app, '/v1/batches', { headers: { origin: app.url } })).status).toBe(200);
  });
});

describe('the transport', () => {
  /** Everything that the server says to these bytes. */
  const talk = (bytes: string, end = true): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(Number(new URL(app.url).port), '127.0.0.1', () =>
        end ? socket.end(bytes) : socket.write(bytes),
      );
      let said = '';
      socket.on('data', (part) => (said += part.toString()));
      socket.on('close', () => resolve(said));
      socket.on('error', () => resolve(said));
    });
  const host = 'Host: localhost\r\n';

  test.each([
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['a header without a colon', `GET / HTTP/1.1\r\n${host}nonsense\r\n\r\n`, 400],
    ['what is no URL', `GET http://[ HTTP/1.1\r\n${host}Connection: close\r\n\r\n`, 404],
    ['two keys', `GET / HTTP/1.1\r\n${host}Authorization: a\r\nAuthorization: b\r\nConnection: close\r\n\r\n`, 400],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n', 400],
    ['no Host', 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 401],
    ['two lengths', `POST /v1/batches HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 400],
    ['large headers', `GET / HTTP/1.1\r\n${host}X: ${'x'.repeat(17_000)}\r\n\r\n`, 431],
    ['a long URL', `GET /${'x'.repeat(17_000)} HTTP/1.1\r\n${host}\r\n`, 431],
    [
      'a body that is shorter than announced',
      `POST /v1/batches HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{}`,
      400,
    ],
    ['an expectation', `GET / HTTP/1.1\r\n${host}Expect: the-unexpected\r\nConnection: close\r\n\r\n`, 417],
  ])('%s', async (_, bytes, status) => {
    const said = await talk(bytes);
    expect(said.split(' ')[1]).toBe(String(status));
    expect(said).toContain('Content-Type: application/problem+json');
    problemSchema.parse(JSON.parse(said.slice(said.indexOf('{'), said.lastIndexOf('}') + 1)));
  });

  test('a client that leaves while it sends leaves the service alive', async () => {
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
    socket.write(
      `POST /v1/batches HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 99999\r\n\r\n{"a":`,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.resetAndDestroy();
    expect((await ask(app, '/livez')).status).toBe(200);
  });
});

test('a database that is away is 503 with Retry-After within 5 s, and says nothing of itself', async () => {
  const away = openDatabase({
    url: 'postgres://someone:secret@127.0.0.1:1/nothing',
    max: 2,
    name: 'test',
    durable: true,
  });
  const other = await openApp({ statements: createStatements(away.db, { reconnectMs: 300 }) });
  try {
    for (const path of ['/', '/v1/batches', `/v1/batches/${newId()}`, '/v1/workers']) {
      const answer = await ask(other, path);
      problemIn(answer, 'unavailable', 503);
      expect(answer.headers['retry-after']).toBe('2');
      expect(answer.text).not.toMatch(/secret|someone|ECONN/);
    }
    problemIn(await post(other, echo), 'unavailable', 503);
    expect(other.accepted()).toBe(0);
  } finally {
    await other.close();
    await away.close();
  }
});

test('an accept whose reply is lost is not answered at all, since its batch may be there and run', async () => {
  const url = await dropReplyTo(app.database.url, 'marker-of-this-batch');
  const behind = openDatabase({ url, max: 1, name: 'test', durable: true });
  const other = await openApp({ statements: createStatements(behind.db, { reconnectMs: 300 }) });
  try {
    await expect(post(other, { ...echo, name: 'marker-of-this-batch' })).rejects.toThrow();
    expect(other.accepted()).toBe(0);
    const stored = await app.database.statements.batches({ owner: '', kind: 'batch', limit: 1 });
    expect(stored[0]).toMatchObject({ name: 'marker-of-this-batch', state: 'running' });
  } finally {
    await other.close();
    await behind.close();
  }
});

test('a fault of the service is 500 and says nothing', async () => {
  const statements = { ...app.database.statements, batches: () => Promise.reject(new TypeError('select secrets')) };
  const other = await openApp({ statements });
  try {
    problemIn(await ask(other, '/v1/batches'), 'internal', 500);
  } finally {
    await other.close();
  }
});

test('the client makes problems and silence into errors', async () => {
  const refused = await app.client.submit({ handler: 'nobody', count: 1 }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(ApiError);
  expect(refused).toMatchObject({ status: 422, problem: { type: '/problems/unknown-handler' } });
  const nobody = createClient({ url: 'http://127.0.0.1:1/' });
  await expect(nobody.getBatch(newId())).rejects.toThrow(UnreachableError);
  await expect(nobody.ready()).rejects.toThrow(
    'No Bullpen answers at http://127.0.0.1:1: start one with npm start, or set BULLPEN_URL',
  );
  await expect(nobody.resultLines(newId()).next()).rejects.toThrow(UnreachableError);
});
