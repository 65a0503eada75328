import { Fail, Retry, retryAfterMs } from '@bullpen/handlers';
import { Agent, type Dispatcher, request } from 'undici';
import { z } from 'zod';
import type { Block } from './example-block.ts';
import { fill } from './template.ts';

/** Connections to one node, of one worker. */
const connections = 64;
/** As much as an output may have by default. */
const blockMaxBytes = 1024 * 1024;

/** One pool of a process, for all chains. */
const agent = new Agent({ connections, maxResponseSize: blockMaxBytes });

/**
 * Fetches one block. Throws `Fail` where asking again would bring the same (4xx, no block, too large), `Retry` for all items where the
 * node says when (429, 503 with Retry-After), and else an error, upon which the item is tried again with backoff.
 */
export async function fetchBlock(template: string, height: number, signal: AbortSignal): Promise<Block> {
  const url = fill(template, height);
  const headers = { accept: 'application/json' };
  const { statusCode, headers: answered, body } = await request(url, { dispatcher: agent, signal, headers });
  if (statusCode === 200) return blockOf(await textOf(body), height);
  // Else the connection would be closed instead of used again.
  await body.dump();
  throw troubleOf(statusCode, answered['retry-after']?.toString());
}

function troubleOf(status: number, retryAfter: string | undefined): Error {
  if (status === 429 || (status === 503 && retryAfter !== undefined))
    return new Retry({ afterMs: retryAfterMs(retryAfter), forAll: true, message: `the node answers ${status}` });
  if (status >= 400 && status < 500) return new Fail(`http-${status}`, `the node answers ${status}`);
  return new Error(`the node answers ${status}`);
}

async function textOf(body: Dispatcher.ResponseData['body']): Promise<string> {
  try {
    return await body.text();
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'UND_ERR_RES_EXCEEDED_MAX_SIZE') throw error;
    throw new Fail('block-too-large', `the block has more than ${blockMaxBytes} bytes`);
  }
}

const blockSchema = z.looseObject({ hash: z.string(), height: z.coerce.number().optional() });

/** A node that is behind may answer another block than the one that was asked for: it is asked again. */
function blockOf(text: string, height: number): Block {
  const parsed = blockSchema.safeParse(jsonOf(text));
  if (!parsed.success) throw new Fail('no-block', 'the node answers no JSON object with a hash');
  if (parsed.data.height !== undefined && parsed.data.height !== height)
    throw new Error(`the node answers the block at ${parsed.data.height}`);
  return { ...parsed.data, height };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
