import { type Method, openApi, routes } from '@bullpen/api';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { ask, openApp, post, type TestApp } from './http-app.ts';

let app: TestApp;
let id: string;
beforeAll(async () => {
  app = await openApp();
  id = (await post(app, { handler: 'echo', count: 3 })).body.id;
});
afterAll(() => app.close());

const listed = Object.entries(routes).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => ({ path, method: method as Method })),
);

/** All routes of the app, as `get /v1/batches/{id}`. */
function registered(): string[] {
  const { stack } = (
    app.express as unknown as { router: { stack: { route?: { path: string; methods: Record<string, boolean> } }[] } }
  ).router;
  return stack.flatMap(({ route }) =>
    route === undefined || Object.keys(route.methods).length > 10 || route.methods['_all']
      ? []
      : Object.keys(route.methods)
          .filter((method) => ['get', 'post', 'put', 'patch', 'delete'].includes(method))
          .map((method) => `${method} ${route.path.replaceAll(/:(\w+)/g, '{$1}')}`),
  );
}

describe('the document', () => {
  it('has every route of the service and no other', () => {
    expect(listed.map(({ path, method }) => `${method} ${path}`).sort()).toEqual(registered().sort());
  });

  it('is OpenAPI 3.1 whose references lead somewhere and whose operations have names of their own', async () => {
    const { status, body } = await ask(app, '/openapi.json');
    expect(status).toBe(200);
    expect(body).toEqual(JSON.parse(JSON.stringify(openApi('1.0.0'))));
    expect(body.openapi).toMatch(/^3\.1\./);
    const text = JSON.stringify(body);
    for (const [, path = ''] of text.matchAll(/"\$ref":"#\/([^"]+)"/g))
      expect(path.split('/').reduce((at, name) => at?.[name], body)).toBeDefined();
    const ids = [...text.matchAll(/"operationId":"(\w+)"/g)].map(([, name]) => name);
    expect(new Set(ids).size).toBe(listed.length);
    for (const { path } of listed)
      for (const [, name] of path.matchAll(/\{(\w+)\}/g))
        for (const operation of Object.values<{ parameters: object[] }>(body.paths[path]))
          expect(operation.parameters).toContainEqual(expect.objectContaining({ name, in: 'path' }));
  });

  it('can be read as a page that needs nothing from elsewhere', async () => {
    const { status, text, headers } = await ask(app, '/docs');
    expect(status).toBe(200);
    expect(headers['content-security-policy']).toContain("default-src 'none'");
    expect(text).not.toMatch(/<script|https?:\/\/(?!json-schema)/);
    for (const { path } of listed) expect(text).toContain(path);
    expect(text).toContain('/problems/unknown-handler');
  });
});

/** What strangers send: by name, by type, by size. */
const names = fc.constantFrom(
  'limit',
  'cursor',
  'wait',
  'state',
  'handler',
  'status',
  'inputs',
  'after',
  'groupBy',
  'name',
  'open',
  '__proto__',
  'x',
  '',
);
const words = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom(
    '',
    '0',
    '-1',
    '1e999',
    'true',
    'null',
    '%00',
    '%zz',
    '..',
    'last',
    'échò',
    '2026-01-31T18:00:00Z',
    '9'.repeat(400),
  ),
);
const bodies = fc.oneof(
  fc.json({ maxDepth: 3 }),
  fc.string({ unit: 'binary', maxLength: 50 }),
  fc.constantFrom(
    '',
    '{',
    '[]',
    'null',
    '{"__proto__":{}}',
    '{"handler":"echo","count":1e309}',
    '{"handler":"echo","inputs":[1],"options":{"constructor":1}}',
  ),
);
const types = fc.constantFrom(
  'application/json',
  'application/x-ndjson',
  'text/csv',
  'text/plain',
  'application/json; charset=latin1',
  '',
);

test('whatever is sent to a route, it answers as the document says, and never with 500', async () => {
  const encoded = (text: string): string => encodeURIComponent(text.replaceAll(/\p{Surrogate}/gu, '\uFFFD'));
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...listed), fc.array(fc.tuple(names, words), { maxLength: 3 }), words, bodies, types, fc.boolean(),
      async ({ path, method }, query, word, body, type, hasId) => {
        const place = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => (name === 'id' && hasId ? id : encoded(word) || 'x'));
        const search = query.map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join('&');
        const target = search === '' ? place : `${place}?${search}`;
        // ask() compares each answer with the document. Events and waits would last.
        if (path.endsWith('/events') || /wait=|(^|&)wait/.test(search)) return;
        const send = method === 'get' || method === 'delete' ? {} : { body, headers: type === '' ? {} : { 'content-type': type } };
        const { status } = await ask(app, target, { method: method.toUpperCase(), ...send });
        expect(status).not.toBe(500);
      },
    ),
    { numRuns: 600 },
  );
  expect((await ask(app, '/readyz')).status).toBe(200);
}, 60_000); // prettier-ignore
