import { faultsOf, type ProblemError } from '@bullpen/api';
import type { Request } from 'express';
import { z } from 'zod';
import { HttpProblem } from './problem.ts';

/**
 * The query of a request by its strict schema. A repeated parameter, an unknown one and a value that is not allowed are
 * refused, all at once.
 */
export function readQuery<Schema extends z.ZodType>(req: Request, schema: Schema): z.output<Schema> {
  const { given, repeated } = searchOf(req);
  const parsed = schema.safeParse(Object.fromEntries(given));
  const errors = [...repeated, ...(parsed.success ? [] : faultsOf(parsed.error).map(inQuery))];
  if (errors.length > 0) throw new HttpProblem('invalid', 'The query of the URL is not valid', { errors });
  return parsed.data!;
}

/** The query of a route that takes none. */
export const noQuery = z.strictObject({});

/** The names in a query, where each may have words of its own. */
export const queryNames = (req: Request): string[] => [...searchOf(req).given.keys()];

/** The parameters by name; of one that is given more than once the last, and that it is. */
export function searchOf(req: Request): { given: Map<string, string>; repeated: ProblemError[] } {
  const at = req.originalUrl.indexOf('?');
  const given = new Map<string, string>();
  const repeated: ProblemError[] = [];
  for (const [name, value] of new URLSearchParams(at < 0 ? '' : req.originalUrl.slice(at))) {
    if (given.has(name)) repeated.push({ pointer: `?${name}`, message: 'is given more than once' });
    given.set(name, value);
  }
  return { given, repeated };
}

const inQuery = ({ pointer, message }: ProblemError): ProblemError => ({
  pointer: `?${pointer?.slice(1) ?? ''}`,
  message,
});
