import { z } from 'zod';
import { problemSchema, type ProblemSlug, problemTable } from '../problems.ts';
import { always, type AnswerSpec, type Content, type Method, type RouteSpec } from './route.ts';
import { routes } from './routes.ts';

type Json = Record<string, unknown>;

const intro = `Bullpen runs millions of small jobs and keeps exactly one result for each. Every error is application/problem+json (RFC 9457), whose type is
/problems/<slug>. 2xx comes after the commit. Names that are not known are refused, never ignored.`;

const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): Json => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json;
  return rest;
};

/** The document of the whole API, generated from the schemas that validate. `version` is the service's. */
export function openApi(version: string): Json {
  return {
    openapi: '3.1.0',
    info: { title: 'Bullpen', version, description: intro.replaceAll('\n', ' ') },
    servers: [{ url: '/' }],
    paths: Object.fromEntries(Object.entries(routes).map(([path, methods]) => [path, pathItem(methods)])),
    components: {
      schemas: { Problem: schemaOf(problemSchema, 'output') },
      securitySchemes: {
        key: {
          type: 'http',
          scheme: 'bearer',
          description:
            'A key, bp_<id>_<secret>, which has to allow what an operation names. Where there are no keys, only this machine may ask',
        },
      },
    },
  };
}

const pathItem = (methods: Partial<Record<Method, RouteSpec>>): Json =>
  Object.fromEntries(Object.entries(methods).map(([method, route]) => [method, operation(route)]));

function operation(route: RouteSpec): Json {
  const { id, needs, summary, body, needsBody = true } = route;
  return {
    operationId: id,
    summary,
    security: needs === 'nothing' ? [] : [{ key: needs === 'key' ? [] : [needs] }, {}],
    parameters: parametersOf(route),
    ...(body !== undefined && { requestBody: { required: needsBody, content: contentOf(body, 'input') } }),
    responses: {
      ...Object.fromEntries(Object.entries(route.answers).map(([status, answer]) => [status, answerOf(answer)])),
      ...problemsOf([...route.problems, ...always]),
    },
  };
}

function parametersOf({ path = {}, query, keyed }: RouteSpec): Json[] {
  const inPath = Object.entries(path).map(([name, description]) => ({
    name,
    in: 'path',
    required: true,
    description,
    schema: { type: 'string' },
  }));
  const { properties = {}, required = [] } = (query === undefined ? {} : schemaOf(query, 'input')) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  const inQuery = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }));
  const key = {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description: 'The same request under the same key is answered once more, and done once; kept for 24 h',
    schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
  };
  return [...inPath, ...inQuery, ...(keyed ? [key] : [])];
}

const contentOf = (content: Content, io: 'input' | 'output'): Json =>
  Object.fromEntries(
    Object.entries(content).map(([type, schema]) => [
      type,
      { schema: typeof schema === 'string' ? { type: 'string', description: schema } : schemaOf(schema!, io) },
    ]),
  );

const answerOf = ({ says, content, headers = {} }: AnswerSpec): Json => ({
  description: says,
  ...(Object.keys(headers).length > 0 && {
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }]),
    ),
  }),
  ...(content !== undefined && { content: contentOf(content, 'output') }),
});

/** By status: which problems it may be. */
function problemsOf(slugs: readonly ProblemSlug[]): Json {
  const byStatus = new Map<number, ProblemSlug[]>();
  for (const slug of new Set(slugs)) {
    const { status } = problemTable[slug];
    byStatus.set(status, [...(byStatus.get(status) ?? []), slug]);
  }
  const content = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };
  return Object.fromEntries(
    [...byStatus].map(([status, each]) => [
      status,
      { description: each.map((slug) => `${slug}: ${problemTable[slug].title}`).join('; '), content },
    ]),
  );
}
