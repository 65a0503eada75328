import { faultsOf } from '@bullpen/api';
import type { Request } from 'express';
import { z } from 'zod';
import type { BodyReader } from '../intake/body.ts';
import { parseJson } from '../intake/json.ts';
import { mediaOf } from '../intake/media.ts';
import { decodeUtf8 } from '../intake/utf8.ts';
import { HttpProblem } from './problem.ts';
import { noQuery, readQuery } from './query.ts';

const bodyMaxBytes = 16 * 1024;

/** Reads a small JSON body by its schema, of which `what` tells what it may hold. Undefined: the client has left. */
export async function readSmall<Schema extends z.ZodType, Answer>(
  req: Request,
  withBody: BodyReader,
  schema: Schema,
  what: string,
  use: (value: z.output<Schema>) => Promise<Answer>,
): Promise<Answer | undefined> {
  readQuery(req, noQuery);
  mediaOf(req, ['json']);
  return withBody(req, { maxBytes: bodyMaxBytes, instead: 'it holds a few values' }, async (bytes) => {
    const body = parseJson(decodeUtf8(bytes));
    const parsed = schema.safeParse(body);
    if (!parsed.success)
      throw new HttpProblem('invalid', `The body is not valid: it may hold ${what}`, {
        errors: faultsOf(parsed.error),
      });
    return use(parsed.data);
  });
}

const nothing = z.strictObject({});

/** Refuses a body where there is nothing to say; `{}` is none. False: the client has left. */
export async function readNothing(req: Request, withBody: BodyReader): Promise<boolean> {
  if (!hasBody(req)) return true;
  return (await readSmall(req, withBody, nothing, 'nothing', async () => true)) ?? false;
}

/** A request that may come without one. */
export const hasBody = ({ headers }: Request): boolean =>
  Number(headers['content-length'] ?? 0) > 0 || headers['transfer-encoding'] !== undefined;
