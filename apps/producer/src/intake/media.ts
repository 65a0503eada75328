import type { Request } from 'express';
import { HttpProblem } from '../http/problem.ts';

/** Each type that is taken; the first of a form is the one that is told. */
const types = {
  'application/json': 'json',
  'application/x-ndjson': 'ndjson',
  'text/csv': 'csv',
  'application/ndjson': 'ndjson',
  'application/jsonl': 'ndjson',
} as const;

export type Form = (typeof types)[keyof typeof types];

export interface Media {
  form: Form;
  gzip: boolean;
}

/** What the body is, by its headers. Refuses what is not taken before a byte of it is read. */
export function mediaOf({ headers }: Request, taken: readonly Form[]): Media {
  const told = Object.entries(types).slice(0, 3);
  const accept = told
    .filter(([, form]) => taken.includes(form))
    .map(([type]) => type)
    .join(', ');
  const refuse = (what: string): never => {
    throw new HttpProblem('unsupported-media-type', `${what}; send the header Content-Type: ${accept}`, {
      headers: { Accept: accept },
    });
  };
  const [type = '', ...parameters] = (headers['content-type'] ?? '')
    .split(';')
    .map((part) => part.trim().toLowerCase());
  if (type === '') refuse('The body has no type');
  const form = Object.hasOwn(types, type) ? types[type as keyof typeof types] : null;
  if (form === null || !taken.includes(form)) return refuse('A body of this type is not taken here');
  const charset = parameters
    .find((parameter) => parameter.startsWith('charset='))
    ?.slice('charset='.length)
    .replaceAll('"', '');
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8') refuse('Only the charset utf-8 is taken');
  const encoding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  const gzip = encoding === 'gzip' || encoding === 'x-gzip';
  if (gzip && form === 'json') refuse('Only NDJSON and CSV are taken with Content-Encoding: gzip');
  if (!gzip && encoding !== 'identity') refuse('Only gzip is taken as Content-Encoding');
  return { form, gzip };
}
