import { always, type Method, problemSchema, problemTable, routes, type RouteSpec } from '@bullpen/api';
import { z } from 'zod';

/** The route of the document that a path is, and its text there; null: none. */
function routeOf(method: string, path: string): { template: string; route: RouteSpec } | null {
  const [plain = ''] = path.split('?');
  for (const [template, methods] of Object.entries(routes)) {
    const pattern = new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
    const route = methods[(method === 'HEAD' ? 'get' : method.toLowerCase()) as Method];
    if (pattern.test(plain) && route !== undefined) return { template, route };
  }
  return null;
}

/** What of an answer the document does not say; null: it is as it says, or of no route in it. */
export function whyNotSo(
  method: string,
  path: string,
  answer: { status: number; type: string; text: string },
): string | null {
  const found = routeOf(method, path);
  if (found === null) return null;
  const { status, type, text } = answer;
  const where = `${method} ${found.template} ${status}`;
  if (type.startsWith('application/problem+json')) return problemFault(found.route, JSON.parse(text), status, where);
  const said = found.route.answers[status];
  if (said === undefined) return `${where} is not in the document`;
  if (method === 'HEAD' || said.content === undefined) return null;
  const media = type.split(';')[0]!;
  const schema = said.content[media];
  if (schema === undefined) return `${where} is ${media}, which is not in the document`;
  if (typeof schema === 'string') return null;
  // Nothing that the document does not name may be in it.
  const parsed = strict(schema).safeParse(JSON.parse(text));
  return parsed.success ? null : `${where}: ${z.prettifyError(parsed.error)}`;
}

const strict = (schema: z.ZodType): z.ZodType => (schema instanceof z.ZodObject ? schema.strict() : schema);

function problemFault(route: RouteSpec, body: unknown, status: number, where: string): string | null {
  const parsed = problemSchema.strict().safeParse(body);
  if (!parsed.success) return `${where}: ${z.prettifyError(parsed.error)}`;
  const slugs = [...route.problems, ...always];
  const slug = slugs.find((each) => parsed.data.type === `/problems/${each}`);
  if (slug === undefined) return `${where}: ${parsed.data.type} is not in the document`;
  return problemTable[slug].status === status ? null : `${where}: ${slug} has another status`;
}
