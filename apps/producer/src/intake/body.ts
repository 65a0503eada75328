import type { Hash } from 'node:crypto';
import type { Request } from 'express';
import { HttpProblem } from '../http/problem.ts';
import { readBody } from './source.ts';

const mebi = 1024 * 1024;
/**
 * All bodies that are in memory at once, parsed they take several times as much: the first MiB of each, and what is beyond, so
 * that large bodies that do not go on keep no small one out.
 */
const bodiesMaxBytes = 64 * mebi;
const smallBytes = mebi;
/** The whole of a body has to be here by then: 16 MiB at 1.1 Mbit/s. */
const bodyMs = 120_000;

export type BodyReader = ReturnType<typeof createBodyReader>;

export interface BodyRules {
  maxBytes: number;
  /** What the client could do instead. */
  instead: string;
  hash?: Hash | undefined;
  gzip?: boolean;
}

/**
 * Reads bodies whole, each within its rules and all together within bounds. `use` gets the bytes; they
 * count as held until it is through. Where the client leaves, nothing more happens.
 */
export function createBodyReader() {
  const held = { small: 0, large: 0 };
  const beyond = (size: number): number => Math.max(0, size - smallBytes);
  return async function withBody<Answer>(
    req: Request,
    { maxBytes, instead, ...source }: BodyRules,
    use: (bytes: Buffer) => Promise<Answer>,
  ): Promise<Answer | undefined> {
    const tooLarge = (): HttpProblem =>
      new HttpProblem('too-large', `This body may have ${sizeText(maxBytes)}: ${instead}`);
    if (Number(req.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
    const parts: Buffer[] = [];
    let size = 0;
    try {
      for await (const part of readBody(req, { ...source, totalMs: bodyMs })) {
        const large = beyond(size + part.length) - beyond(size);
        size += part.length;
        held.large += large;
        held.small += part.length - large;
        if (size > maxBytes) throw tooLarge();
        if (Math.max(held.small, large > 0 ? held.large : 0) > bodiesMaxBytes)
          throw new HttpProblem('busy', 'Too many large bodies arrive at once', { headers: { 'Retry-After': '1' } });
        parts.push(part);
      }
      return await use(Buffer.concat(parts, size));
    } catch (error) {
      if (hasLeft(req)) return undefined;
      throw error;
    } finally {
      held.large -= beyond(size);
      held.small -= size - beyond(size);
    }
  };
}

const sizeText = (bytes: number): string => (bytes % mebi === 0 ? `${bytes / mebi} MiB` : `${bytes} bytes`);

/** The client has gone before the end of its request: nobody hears an answer. */
export const hasLeft = (req: Request): boolean => req.destroyed && !req.complete;
