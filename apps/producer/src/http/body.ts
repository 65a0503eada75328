import type { Request } from 'express';
import { HttpProblem } from './problem.ts';

const mebi = 1024 * 1024;
/** A JSON body may have this many bytes. */
const bodyMaxBytes = 16 * mebi;
/** All bodies that are in memory at once: parsed they take several times as much. */
const bodiesMaxBytes = 64 * mebi;

/** Refuses whatever is not plain JSON in UTF-8, before a byte of the body is read. */
export function checkJsonType({ headers }: Request): void {
  const send = 'send the header Content-Type: application/json';
  const refuse = (what: string): never => {
    throw new HttpProblem('unsupported-media-type', `${what}; ${send}`, { headers: { Accept: 'application/json' } });
  };
  const [type = '', ...parameters] = (headers['content-type'] ?? '')
    .split(';')
    .map((part) => part.trim().toLowerCase());
  if (type === '') refuse('The body has no type');
  if (type === 'application/x-ndjson' || type === 'text/csv') refuse(`Bodies of ${type} are not built yet`);
  if (type !== 'application/json') refuse('Only JSON is taken');
  const charset = parameters
    .find((parameter) => parameter.startsWith('charset='))
    ?.slice('charset='.length)
    .replaceAll('"', '');
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8') refuse('Only the charset utf-8 is taken');
  const encoding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (encoding !== 'identity') refuse('Only a body without Content-Encoding is taken');
}

export type BodyReader = ReturnType<typeof createBodyReader>;

/**
 * Reads bodies whole, each within `bodyMaxBytes` and all together within `bodiesMaxBytes`. `use` gets the bytes; they
 * count as held until it is through. Where the client leaves, nothing more happens.
 */
export function createBodyReader() {
  let held = 0;
  return async function withBody<Answer>(
    req: Request,
    use: (bytes: Buffer) => Promise<Answer>,
  ): Promise<Answer | undefined> {
    if (Number(req.headers['content-length'] ?? 0) > bodyMaxBytes) throw tooLarge();
    const parts: Buffer[] = [];
    let size = 0;
    try {
      // Left early, the stream must live on: the answer goes over the same socket.
      for await (const part of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        size += part.length;
        held += part.length;
        if (size > bodyMaxBytes) throw tooLarge();
        if (held > bodiesMaxBytes)
          throw new HttpProblem('busy', 'Too many large bodies arrive at once', { headers: { 'Retry-After': '1' } });
        parts.push(part);
      }
      return await use(Buffer.concat(parts, size));
    } catch (error) {
      if (req.destroyed && !req.complete) return undefined;
      throw error;
    } finally {
      held -= size;
    }
  };
}

const tooLarge = (): HttpProblem =>
  new HttpProblem(
    'too-large',
    `A JSON body may have ${bodyMaxBytes / mebi} MiB: submit several batches, or use count (NDJSON streams of any length come with a later version)`,
  );
