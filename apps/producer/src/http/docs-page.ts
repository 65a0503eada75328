import { type Method, openApi, problemTable, type RouteSpec, routes } from '@bullpen/api';
import { sendJson, sendText } from './answer.ts';
import { contentPolicy } from './headers.ts';
import { escapeHtml, page } from './html.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';

/** Of the API, not of the packages: its paths say the major one. */
const version = '1.0.0';

interface Operation {
  parameters: { name: string; in: string; required: boolean; description?: string; schema: Record<string, unknown> }[];
  requestBody?: { content: Record<string, { schema: Record<string, unknown> }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: Record<string, unknown> }> }>;
}
type Paths = Record<string, Record<Method, Operation>>;

/** `GET /openapi.json`: made once, when it is first asked for. */
export function showOpenApi(): Route {
  let document: ReturnType<typeof openApi> | undefined;
  return (req, res) => {
    readQuery(req, noQuery);
    sendJson(res, (document ??= openApi(version)));
  };
}

/** `GET /docs`: the same document as a page, which needs nothing from elsewhere. */
export function showDocs(): Route {
  let text: string | undefined;
  return (req, res) => {
    readQuery(req, noQuery);
    res.setHeader('Content-Security-Policy', contentPolicy.page);
    sendText(res, 200, 'text/html; charset=utf-8', (text ??= docsPage()));
  };
}

function docsPage(): string {
  const paths = openApi(version)['paths'] as Paths;
  const all = Object.entries(routes).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, route]) => ({ path, method: method as Method, route })),
  );
  const links = all.map(
    ({ path, method, route }) => `<li><a href="#${route.id}"><code>${method.toUpperCase()} ${path}</code></a></li>`,
  );
  const sections = all.map(({ path, method, route }) => sectionOf(path, method, route, paths[path]![method]));
  const problems = Object.entries(problemTable).map(
    ([slug, { status, title }]) =>
      `<tr id="${slug}"><td>${status}</td><td><code>/problems/${slug}</code></td><td>${escapeHtml(title)}</td></tr>`,
  );
  return page({
    title: 'Bullpen API',
    body: [
      '<h1>Bullpen API</h1>',
      '<p>Made from the schemas that validate: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1). 2xx comes after the commit; every error is <code>application/problem+json</code>; names that are not known are refused.</p>',
      `<ul>${links.join('\n')}</ul>`,
      ...sections,
      '<h2 id="problems">Problems</h2>',
      `<table>${problems.join('\n')}</table>`,
    ].join('\n'),
  });
}

const needsText = (needs: RouteSpec['needs']): string =>
  needs === 'nothing'
    ? 'Open to everybody'
    : needs === 'key'
      ? 'Any key'
      : `A key with the scope <code>${needs}</code>`;

function sectionOf(path: string, method: string, { id, needs, summary }: RouteSpec, operation: Operation): string {
  const { parameters, requestBody, responses } = operation;
  const rows = parameters.map(
    ({ name, in: where, required, schema, description = '' }) =>
      `<tr><td><code>${escapeHtml(name)}</code></td><td>${where}${required ? ', needed' : ''}</td><td>${escapeHtml(description || typeOf(schema))}</td></tr>`,
  );
  const answers = Object.entries(responses).map(
    ([status, { description, content = {} }]) =>
      `<tr><td>${status}</td><td>${escapeHtml(description)}</td><td>${escapeHtml(Object.keys(content).join(', '))}</td></tr>`,
  );
  return [
    `<h2 id="${id}"><code>${method.toUpperCase()} ${path}</code></h2>`,
    `<p>${escapeHtml(summary)}. ${needsText(needs)}.</p>`,
    rows.length > 0 ? `<table>${rows.join('\n')}</table>` : '',
    ...schemasOf('Body', requestBody?.content ?? {}),
    `<table>${answers.join('\n')}</table>`,
    ...Object.entries(responses).flatMap(([status, { content = {} }]) =>
      status.startsWith('2') ? schemasOf(status, content) : [],
    ),
  ].join('\n');
}

const schemasOf = (label: string, content: Record<string, { schema: Record<string, unknown> }>): string[] =>
  Object.entries(content).map(([type, { schema }]) =>
    schema['type'] === 'string'
      ? `<p>${label}, <code>${type}</code>: ${escapeHtml(String(schema['description']))}.</p>`
      : `<details><summary>${label}, <code>${type}</code></summary><pre>${escapeHtml(JSON.stringify(schema, null, 2))}</pre></details>`,
  );

/** The type of a parameter in a few words. */
function typeOf({ type, enum: values, pattern, default: normal }: Record<string, unknown>): string {
  const what = Array.isArray(values)
    ? values.join(' | ')
    : [type, pattern].filter((each) => typeof each === 'string').join(', ');
  return normal === undefined ? what : `${what}; ${JSON.stringify(normal)} unless said`;
}
