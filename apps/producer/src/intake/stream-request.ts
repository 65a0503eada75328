import {
  faultsOf,
  newStreamSchema,
  type NewStream,
  objectOptions,
  optionsSchema,
  type ProblemError,
} from '@bullpen/api';
import type { Request } from 'express';
import { searchOf } from '../http/query.ts';
import { HttpProblem } from '../http/problem.ts';
import { parseJson } from './json.ts';

const optionNames: ReadonlySet<string> = new Set(Object.keys(optionsSchema.shape));
/** Options that are text, whatever it looks like. */
const texts: ReadonlySet<string> = new Set(['groupBy', 'notBefore']);
/** Of the header, in characters: Node takes 16 KiB of headers together. */
const headerMax = 15 * 1024;

/** What a stream says of itself: in the query, where options stand by their names, and in the header Bullpen-Options. */
export function readStreamRequest(req: Request): NewStream {
  const { given, repeated } = searchOf(req);
  const said = headerOf(req);
  const inQuery: Record<string, unknown> = {};
  const options: Record<string, unknown> = { ...said.options };
  const errors: ProblemError[] = [...repeated];
  for (const [name, text] of given) {
    if (!optionNames.has(name)) inQuery[name] = text;
    else if (objectOptions.has(name))
      errors.push({ pointer: `?${name}`, message: 'goes into the header Bullpen-Options' });
    else if (name in options) errors.push({ pointer: `?${name}`, message: 'stands in the header Bullpen-Options too' });
    else options[name] = texts.has(name) ? text : valueOf(text);
  }
  for (const name of ['params', 'options'])
    if (name in inQuery) errors.push({ pointer: `?${name}`, message: 'goes into the header Bullpen-Options' });
  if (errors.length > 0) throw new HttpProblem('invalid', 'The query of the URL is not valid', { errors });
  const parsed = newStreamSchema.safeParse({
    ...inQuery,
    ...('params' in said && { params: said.params }),
    ...(Object.keys(options).length > 0 && { options }),
  });
  if (parsed.success) return parsed.data;
  throw new HttpProblem('invalid', 'The query of the URL, or the header Bullpen-Options, is not valid', {
    errors: faultsOf(parsed.error).map((fault) => placed(fault, given)),
  });
}

/** In the query, what it holds is named by its parameter. */
function placed({ pointer = '', message }: ProblemError, given: ReadonlyMap<string, string>): ProblemError {
  const name = pointer.split('/').at(-1) ?? '';
  const inHeader = pointer.startsWith('/params') || (pointer.startsWith('/options') && !given.has(name));
  return { pointer: inHeader ? pointer : `?${name}`, message };
}

/** In a query everything is text. */
const valueOf = (text: string): unknown =>
  /^-?\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : text === 'true' ? true : text === 'false' ? false : text;

function headerOf({ headers }: Request): { params?: unknown; options?: Record<string, unknown> } {
  const header = headers['bullpen-options'];
  if (header === undefined) return {};
  const refuse = (message: string): never => {
    throw new HttpProblem('malformed', `The header Bullpen-Options ${message}`, {
      errors: [{ message: `Bullpen-Options ${message}` }],
    });
  };
  const form = 'must be the base64url of JSON {"params": …, "options": {…}}';
  if (typeof header !== 'string' || header.length > headerMax || !/^[A-Za-z0-9_-]+=*$/.test(header))
    return refuse(form);
  const value = jsonOf(Buffer.from(header, 'base64url').toString('utf8'), refuse);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(form);
  const unknown = Object.keys(value).find((name) => name !== 'params' && name !== 'options');
  if (unknown !== undefined) return refuse(`holds ${JSON.stringify(unknown.slice(0, 50))}: ${form}`);
  const { options } = value as { options?: unknown };
  if (options !== undefined && (typeof options !== 'object' || options === null || Array.isArray(options)))
    return refuse(form);
  return value;
}

function jsonOf(text: string, refuse: (message: string) => never): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    return refuse(`is not valid: ${(error as Error).message}`);
  }
}
